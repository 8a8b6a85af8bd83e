package main

import (
	"errors"
	"slices"

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

var errZones = errors.New("zones is any, and this kernel does not tell the conntrack zone of packets " +
	"(CONFIG_NETFILTER_NETLINK_GLUE_CT): name the zones, as in zones: [5, 6]")

// checkZones tells whether the zones of packets will be known.
func checkZones(p *program) error {
	if p.config.Zones.Any && !p.workers[0].queue.Zoned() {
		return errZones
	}
	return nil
}

// zonesKnown says how the conntrack zones of packets are known, in the first line of the log.
func zonesKnown(p *program) string {
	switch {
	case p.config.Zones.None():
		return "none"
	case p.workers[0].queue.Zoned():
		return "told"
	}
	return "searched"
}
