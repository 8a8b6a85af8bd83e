package probe

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/firewall"
)

// zones looks whether control connections are in conntrack zones, and whether ftpalg follows them there.
func zones(p *prober, rules *firewall.Ruleset, acts []firewall.Act) {
	control := setting(acts)
	if len(control) == 0 {
		if p.AnyZone && !p.tells {
			p.add(Item{ID: idZones, Status: Warning, Detail: "zones is any, but this kernel does not tell " +
				"the zone of packets", Fix: naming(p, nil)})
		}
		return
	}
	i := Item{ID: idZones, Status: Warning, Detail: "control connections are put into a conntrack zone, in " +
		places(control)}
	sure := slices.ContainsFunc(control, func(a firewall.Act) bool { return a.Sure })
	if !sure {
		i.Detail += ", if the rest of the rule is met"
	}
	switch how := follows(p, control); {
	case how == "":
		i.Detail, i.Fix = i.Detail+", where ftpalg does not look", naming(p, control)
	case sure && !dataToo(p, rules, control):
		i.Detail += ": data connections are not, and are expected in the same zone"
		i.Fix = "have the rule put all TCP into the zone, not the port of FTP alone"
	default:
		i.Status, i.Detail = Found, i.Detail+", where ftpalg follows them: "+how
	}
	if !sure && i.Status == Warning {
		i.Status = Note
	}
	p.add(i)
}

// setting returns what sets a zone.
func setting(acts []firewall.Act) (all []firewall.Act) {
	for _, a := range acts {
		if a.Kind == firewall.SetsZone {
			all = append(all, a)
		}
	}
	return all
}

// follows says how the zones of connections are known; empty: they are not.
func follows(p *prober, acts []firewall.Act) string {
	wanted := p.AnyZone || len(p.Zones) > 0
	unnamed := func(a firewall.Act) bool { return a.Zone != 0 && !slices.Contains(p.Zones, a.Zone) }
	switch {
	case wanted && p.tells:
		return "the kernel tells the zone of each packet"
	case len(p.Zones) == 0 || slices.ContainsFunc(acts, unnamed):
		return ""
	}
	return "it looks in each of those that are named, as this kernel does not tell; connections with the " +
		"same addresses in two zones cannot be told apart"
}

// naming says what to configure.
func naming(p *prober, acts []firewall.Act) string {
	if p.tells {
		return "zones: any"
	}
	all := slices.Clone(p.Zones)
	for _, a := range acts {
		if a.Zone != 0 && !slices.Contains(all, a.Zone) {
			all = append(all, a.Zone)
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return "name the zones in the configuration, as in zones: [5, 6]"
	}
	return "zones: [" + strings.Trim(strings.ReplaceAll(fmt.Sprint(all), " ", ", "), "[]") + "]"
}

// dataToo tells whether what puts control connections into a zone does the same with those of data.
func dataToo(p *prober, rules *firewall.Ruleset, control []firewall.Act) bool {
	packet := firewall.Packet{State: firewall.New}
	var data []firewall.Act
	for _, hook := range []uint32{unix.NF_INET_PRE_ROUTING, unix.NF_INET_LOCAL_OUT} {
		for _, w := range rules.Walk(packet, hook, "", "inet "+p.Table) {
			data = append(data, setting(w.Acts)...)
		}
	}
	for _, a := range control {
		if a.Sure && !slices.Contains(data, a) {
			return false
		}
	}
	return true
}
