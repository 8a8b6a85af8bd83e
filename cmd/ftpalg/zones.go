package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ftpalg/ftpalg/conntrack"
)

// expectations lists all that the kernel has, with their conntrack zones. It does not tell those, but those
// of control connections.
func expectations(c *conntrack.Conn) ([]conntrack.Expectation, error) {
	all, err := c.Expectations()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	var zones []conntrack.Zone
	err = c.Entries(conntrack.Filter{State: conntrack.StateControl}, func(e *conntrack.Entry) {
		if e.Zone.ID != 0 && !slices.Contains(zones, e.Zone) {
			zones = append(zones, e.Zone)
		}
	})
	if err != nil || len(zones) == 0 {
		return all, err
	}
	located := all[:0]
	for i := range all {
		switch err := c.LocateExpectation(&all[i], zones); {
		case err == nil:
			located = append(located, all[i])
		case !errors.Is(err, conntrack.ErrNotFound): // it is gone
			return nil, err
		}
	}
	return located, nil
}

// zones says how the conntrack zones of packets are known.
func (p *program) zones() string {
	switch {
	case p.workers[0].queue.Zoned():
		return "told"
	case len(p.config.Zones) == 0:
		return "none"
	}
	return "searched: 0 " + strings.Trim(fmt.Sprint(p.config.Zones), "[]")
}
