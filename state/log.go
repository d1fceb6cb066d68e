package state

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapTo returns etcd's kind of logger, writing to log; nil is silent. All that a client says is our debug: what fails, its caller is told.
func zapTo(log *slog.Logger, client bool) *zap.Logger {
	if log == nil {
		return zap.NewNop()
	}
	return zap.New(slogCore{handler: log.With("component", "etcd").Handler(), client: client})
}

// slogCore passes zap records on to a slog handler.
type slogCore struct {
	handler slog.Handler
	client  bool
}

var _ zapcore.Core = slogCore{}

// serveEnded is what etcd says when one of its listeners ends, also when it is told to: whoever runs it has that as an error, if it is one.
const serveEnded = "setting up serving from embedded etcd failed."

// level lowers etcd's chatter: its info is our debug.
func (c slogCore) level(l zapcore.Level, message string) slog.Level {
	switch {
	case c.client || message == serveEnded:
		return slog.LevelDebug
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (c slogCore) Enabled(l zapcore.Level) bool {
	return c.handler.Enabled(context.Background(), c.level(l, ""))
}

func (c slogCore) With(fields []zapcore.Field) zapcore.Core {
	return slogCore{handler: c.handler.WithAttrs(attrs(fields)), client: c.client}
}

func (c slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.handler.Enabled(context.Background(), c.level(e.Level, e.Message)) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	r := slog.NewRecord(e.Time, c.level(e.Level, e.Message), e.Message, 0)
	r.AddAttrs(attrs(fields)...)
	return c.handler.Handle(context.Background(), r)
}

func (slogCore) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	out := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		f.AddTo(enc)
		if v, ok := enc.Fields[f.Key]; ok {
			out = append(out, slog.Any(f.Key, v))
		}
	}
	return out
}
