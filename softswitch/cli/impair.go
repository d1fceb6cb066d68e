package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weft-sdn/weft/softswitch"
	"github.com/weft-sdn/weft/softswitch/impair"
)

// ParseImpairment splits PORT:NAME=VALUE,… into a port and how bad its line is.
func ParseImpairment(text string) (number uint16, c impair.Config, err error) {
	wrong := func(format string, a ...any) (uint16, impair.Config, error) {
		return 0, impair.Config{}, fmt.Errorf("impairment %q: %s", text, fmt.Sprintf(format, a...))
	}
	port, list, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || err != nil {
		return wrong("want PORT:loss=SHARE,delay=TIME,jitter=TIME,reorder=SHARE,rate=BITS,limit=FRAMES,seed=NUMBER, any of them")
	}
	for _, item := range strings.Split(list, ",") {
		name, value, _ := strings.Cut(item, "=")
		var err error
		switch name {
		case "loss":
			c.Loss, err = strconv.ParseFloat(value, 64)
		case "reorder":
			c.Reorder, err = strconv.ParseFloat(value, 64)
		case "delay":
			c.Delay, err = time.ParseDuration(value)
		case "jitter":
			c.Jitter, err = time.ParseDuration(value)
		case "rate":
			c.Rate, err = strconv.ParseUint(value, 10, 64)
		case "limit":
			c.Limit, err = strconv.Atoi(value)
		case "seed":
			c.Seed, err = strconv.ParseUint(value, 10, 64)
		default:
			return wrong("%q is none of loss, delay, jitter, reorder, rate, limit and seed", name)
		}
		if err != nil {
			return wrong("%s: %q is not a value of it", name, value)
		}
	}
	if err := c.Check(); err != nil {
		return wrong("%v", err)
	}
	return uint16(n), c, nil
}

// impair makes the lines bad that the command line names.
func (c *Config) impair(server *softswitch.Server) error {
	for _, text := range c.Impair {
		number, config, err := ParseImpairment(text)
		if err != nil {
			return err
		}
		if err := server.SetImpairment(number, config); err != nil {
			return fmt.Errorf("impairment %q: %w", text, err)
		}
	}
	return nil
}
