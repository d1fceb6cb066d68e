package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics count what is asked.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(s *Server) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weft_api_requests_total", Help: "Requests answered, by method, route and status."}, []string{"method", "route", "status"}),
		seconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "weft_api_request_seconds", Help: "Time that requests took, watches aside, by method and route.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 9)}, []string{"method", "route"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weft_api_watches", Help: "Streams of changes that are open."}, func() float64 { return float64(s.watches.count()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weft_api_objects", Help: "Objects that are stored, parts of others included."}, func() float64 {
			if c := s.store.Catalogue(); c != nil {
				return float64(c.Len())
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weft_api_revision", Help: "Revision of the last change of objects that this server knows."}, func() float64 {
			if c := s.store.Catalogue(); c != nil {
				return float64(c.Revision)
			}
			return 0
		}))
	return m
}

// Metrics serves /metrics to Prometheus.
func (s *Server) Metrics() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", s.health)
	return mux
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// count takes note of a request that was answered. Its pattern bounds how many routes there are.
func (m *metrics) count(r *http.Request, status int, since time.Time) {
	_, route, _ := strings.Cut(r.Pattern, " ")
	if status == 0 {
		status = http.StatusInternalServerError
	}
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default:
		method = "other" // what others are called is up to who asks
	}
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	if !goesOn(r.URL.Path) {
		m.seconds.WithLabelValues(method, route).Observe(time.Since(since).Seconds())
	}
}
