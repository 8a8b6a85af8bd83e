package ruleset

import (
	"errors"
	"fmt"
	"slices"
)

// DefaultTable is the name of the table, in family inet.
const DefaultTable = "ftpalg"

// DefaultPriority of the hooks is that of mangle: after conntrack (-200) and
// before destination NAT (-100).
const DefaultPriority = -150

// Config is what the table depends on.
type Config struct {
	Table       string   // name; empty: DefaultTable
	Ports       []uint16 // ports of FTP servers as clients dial them
	Queue       uint16   // queue number, of the first worker
	Workers     int      // how many workers, each with a queue of its own from Queue on; 0: 1
	Helper      string   // conntrack helper to attach; empty: none, and then no data connection passes
	Priority    int32    // of the hooks; 0: DefaultPriority. Only -199 to -101 makes sense
	Listened    bool     // the program listens to the kernel's events, which the kernel has
	NativeQueue bool     // the kernel has the queue statement (CONFIG_NFT_QUEUE); else xt's NFQUEUE is used
	InnerHeader bool     // the kernel can load payload (Linux 5.16); else pure ACKs are queued too
}

func (c Config) withDefaults() Config {
	if c.Table == "" {
		c.Table = DefaultTable
	}
	if c.Priority == 0 {
		c.Priority = DefaultPriority
	}
	c.Workers = max(c.Workers, 1)
	c.Ports = slices.Compact(slices.Sorted(slices.Values(c.Ports)))
	return c
}

func (c Config) validate() error {
	switch {
	case !isName(c.Table):
		return errors.New("the table's name must be of letters, digits and underscores")
	case len(c.Ports) == 0:
		return errors.New("there is no port to watch")
	case c.Ports[0] == 0:
		return errors.New("port 0 cannot be watched")
	case int(c.Queue)+c.Workers > 1<<16:
		return fmt.Errorf("%d workers from queue %d on need queue numbers beyond 65535", c.Workers, c.Queue)
	case c.Priority <= -200 || c.Priority >= -100:
		return fmt.Errorf("priority %d is not between conntrack (-200) and destination NAT (-100)",
			c.Priority)
	}
	return nil
}

func isName(s string) bool {
	for _, r := range s {
		if r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return s != ""
}
