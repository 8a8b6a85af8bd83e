package probe

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/firewall"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// conflicts looks for what takes control or data connections away from ftpalg.
func (p *prober) conflicts() {
	// The switch that kernels before 6.0 have.
	if sysctl("netfilter/nf_conntrack_helper") == "1" {
		p.add(Item{ID: idAutomatic, Status: Warning,
			Detail: "the kernel attaches its own FTP helper to connections to port 21",
			Fix:    "sysctl -w net.netfilter.nf_conntrack_helper=0"})
	}
	if names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names"); err == nil && len(names) > 0 {
		p.add(Item{ID: idLegacy, Status: Note,
			Detail: "its tables " + string(bytes.Join(bytes.Fields(names), []byte(", "))) +
				" are in use and cannot be seen from here",
			Fix: "make sure that no CT rule attaches a helper to port 21 and that FORWARD accepts " +
				"ESTABLISHED,RELATED: iptables-legacy-save"})
	}
	rules, err := firewall.Read()
	if err != nil {
		p.add(Item{ID: idRulesRead, Status: Note, Detail: err.Error(), Fix: privilege(err, "check again")})
		return
	}
	acts := p.acts(rules)
	p.ftpHelper(acts)
	p.deeds(acts)
	zones(p, rules, acts)
	p.related(rules)
	p.pair(rules)
	if len(rules.Flowtables) > 0 {
		p.add(Item{ID: idFlowtables, Status: Note,
			Detail: "in the tables " + strings.Join(rules.Flowtables, ", ") +
				": connections with a helper are not offloaded, data connections may be"})
	}
}

// acts is what the rules of others do to the first packet of a control connection.
func (p *prober) acts(rules *firewall.Ruleset) (all []firewall.Act) {
	for _, port := range p.Ports {
		packet := firewall.Packet{Port: port, State: firewall.New}
		for hook := uint32(unix.NF_INET_PRE_ROUTING); hook <= unix.NF_INET_POST_ROUTING; hook++ {
			for _, w := range rules.Walk(packet, hook, "", "inet "+p.Table) {
				for _, a := range w.Acts {
					if !slices.Contains(all, a) {
						all = append(all, a)
					}
				}
			}
		}
	}
	return all
}

func places(acts []firewall.Act) string {
	var all []string
	for _, a := range acts {
		if !slices.Contains(all, a.Chain) {
			all = append(all, a.Chain)
		}
	}
	return strings.Join(all, ", ")
}

// ftpHelper looks for other helpers on our ports. A connection keeps the first one.
func (p *prober) ftpHelper(acts []firewall.Act) {
	var before, after []firewall.Act
	for _, a := range acts {
		switch {
		case a.Kind != firewall.AttachesHelper:
		case comesBefore(a):
			before = append(before, a)
		default:
			after = append(after, a)
		}
	}
	i := Item{ID: idFTPHelper, Status: Found, Detail: "no nftables rule attaches it"}
	switch {
	case len(before) > 0:
		i.Status = Warning
		i.Detail = fmt.Sprintf("the helper %q is attached in %s, before ftpalg attaches its own: it reads "+
			"the sessions too, and opens ports of its own in what ftpalg does not read",
			before[0].Helper, places(before))
		i.Fix = "remove that rule"
	case len(after) > 0:
		i.Detail = fmt.Sprintf("the helper %q is attached in %s, which comes after ftpalg's own has been "+
			"attached and changes nothing while ftpalg runs", after[0].Helper, places(after))
	}
	p.add(i)
}

// comesBefore tells whether our rules come too late. An entry has at most one helper,
// which a template gives it when it is made.
func comesBefore(a firewall.Act) bool {
	first := a.Hook == unix.NF_INET_PRE_ROUTING || a.Hook == unix.NF_INET_LOCAL_OUT
	return a.Template || first && a.Priority <= ruleset.DefaultPriority
}

// deeds is what else rules do that ftpalg feels.
func (p *prober) deeds(acts []firewall.Act) {
	for _, d := range []struct {
		kind        firewall.Kind
		id          string
		status      Status
		detail, fix string
	}{
		{firewall.NotTracked, idNotrack, Warning, "connections to the port are not tracked, and so not seen",
			"except port %d from the rule"},
		{firewall.SetsLabel, idLabels, Note, "labels of control connections are set by others too",
			"except port %d from the rule, or let it set no bit from 112 on"},
	} {
		var of []firewall.Act
		sure := false
		for _, a := range acts {
			if a.Kind == d.kind {
				of, sure = append(of, a), sure || a.Sure
			}
		}
		if len(of) == 0 {
			continue
		}
		i := Item{ID: d.id, Status: d.status, Detail: d.detail + ", in " + places(of),
			Fix: fmt.Sprintf(d.fix, p.Ports[0])}
		if !sure {
			i.Status, i.Detail = Note, i.Detail+", if the rest of the rule is met"
		}
		p.add(i)
	}
}

// related looks whether data connections pass the firewall.
func (p *prober) related(rules *firewall.Ruleset) {
	hooks := []struct {
		number uint32
		status Status
		what   string
	}{
		{unix.NF_INET_FORWARD, Warning, "that are forwarded"},
		{unix.NF_INET_LOCAL_IN, Note, "to this machine itself"},
	}
	bad := false
	for _, h := range hooks {
		for _, state := range []firewall.State{firewall.Related, firewall.Established} {
			for _, w := range rules.Walk(firewall.Packet{State: state}, h.number, "filter", "inet "+p.Table) {
				if !w.Drops || w.ByState || w.Unclear {
					continue
				}
				bad = true
				p.add(refusal(w, state, h.status, h.what))
			}
		}
	}
	if !bad {
		p.add(Item{ID: idRelated, Status: Found, Detail: "no nftables chain drops what is related"})
	}
}

func refusal(w firewall.Passage, state firewall.State, status Status, what string) Item {
	i := Item{ID: idRelated, Status: status,
		Detail: fmt.Sprintf("%s drops packets of data connections %s: no rule accepts ct state %v", w.Chain,
			what, state)}
	if w.Some {
		i.Detail += ", only rules that ask for something else accept some"
	}
	parts := strings.Fields(w.Chain)
	family, table, chain := parts[0], parts[1], parts[2]
	i.Fix = fmt.Sprintf("nft insert rule %s %s %s ct state established,related accept", family, table, chain)
	return i
}

// neighbours looks for programs that handle the packets that ftpalg should.
func (p *prober) neighbours() {
	for _, args := range commands() {
		if port := proxied(args); port != 0 && slices.Contains(p.Ports, port) {
			p.add(Item{ID: idDockerProxy, Status: Note,
				Detail: fmt.Sprintf("it listens on port %d: connections of this machine itself to a "+
					"published server end there, and data connections of those fail", port),
				Fix: `for those, set "userland-proxy": false in /etc/docker/daemon.json and restart Docker`})
			break
		}
	}
	if all, err := net.Interfaces(); err == nil {
		for _, i := range all {
			if i.Name == "cilium_host" || i.Name == "cilium_net" {
				p.add(Item{ID: idCilium, Status: Warning,
					Detail: "the interface " + i.Name + " is there: packets of pods may pass by netfilter",
					Fix: "set bpf.hostLegacyRouting=true and leave the Service to kube-proxy, or run the " +
						"FTP server with hostNetwork: true"})
				break
			}
		}
	}
}

// pair looks for what keeps connections from going on at the other machine, on one of a pair.
func (p *prober) pair(rules *firewall.Ruleset) {
	what := conntrackd()
	if what == "" {
		return
	}
	if sysctl("netfilter/nf_conntrack_tcp_loose") != "0" {
		p.add(Item{ID: idPickUp, Status: Note,
			Detail: what + ", and the kernel begins a connection with a packet from the middle of one",
			Fix:    "sysctl -w net.netfilter.nf_conntrack_tcp_loose=0, and drop what is ct state invalid"})
	}
	i := Item{ID: idPair, Status: Found, Detail: what + ", and no rule masquerades"}
	var acts []firewall.Act
	for _, w := range rules.Walk(firewall.Packet{State: firewall.New}, unix.NF_INET_POST_ROUTING, "nat", "") {
		for _, a := range w.Acts {
			if a.Kind == firewall.Masquerades {
				acts = append(acts, a)
			}
		}
	}
	if len(acts) > 0 {
		i.Status = Note
		i.Detail = what + ", and connections are masqueraded in " + places(acts) +
			": the other machine has another address, and sessions end at a takeover"
		i.Fix = "use snat to the address that both machines share"
	}
	p.add(i)
}

func conntrackd() string {
	for _, args := range commands() {
		if filepath.Base(args[0]) == "conntrackd" {
			return "conntrackd runs"
		}
	}
	const file = "/etc/conntrackd/conntrackd.conf"
	if _, err := os.Stat(file); err == nil {
		return file + " is there"
	}
	return ""
}

// proxied is the port that a docker-proxy listens on; 0 if it is none.
func proxied(args []string) uint16 {
	at := slices.Index(args, "-host-port")
	if filepath.Base(args[0]) != "docker-proxy" || at < 0 || at+1 == len(args) {
		return 0
	}
	n, err := strconv.ParseUint(args[at+1], 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

// commands are the command lines of the processes in the network namespace of the calling
// thread, as far as they may be seen.
func commands() (all [][]string) {
	var here, there unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &here) != nil {
		return nil
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	for _, d := range dirs {
		line, err := os.ReadFile(d + "/cmdline")
		if err != nil || len(line) == 0 {
			continue
		}
		if unix.Stat(d+"/ns/net", &there) != nil || there.Ino != here.Ino || there.Dev != here.Dev {
			continue
		}
		all = append(all, strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00"))
	}
	return all
}
