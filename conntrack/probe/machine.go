package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
	"github.com/ftpalg/ftpalg/conntrack/ruleset"
)

// instance tells whose table is in force, and whether that process runs.
func (p *prober) instance() {
	name := p.Table
	o, found, err := ownerOf(name)
	switch {
	case err != nil:
		p.add(Item{ID: idInstance, Status: Note, Detail: "not known: " + err.Error()})
	case !found:
		p.add(Item{ID: idInstance, Status: Note,
			Detail: fmt.Sprintf("none runs here, or with your rules: no table inet %s of ftpalg", name)})
	case !o.Alive(QueueBound):
		p.add(Item{ID: idInstance, Status: Note,
			Detail: fmt.Sprintf("the table inet %s is there, but %v that made it does not run", name, o),
			Fix:    "start ftpalg, which takes over what that one left"})
	case !QueueBound(o.Queue):
		p.add(Item{ID: idInstance, Status: Note,
			Detail: fmt.Sprintf("%v and its table inet %s are there, but no program has its queue %d",
				o, name, o.Queue),
			Fix: "look into its log, and restart it"})
	default:
		p.add(Item{ID: idInstance, Status: Found,
			Detail: fmt.Sprintf("%v, with the table inet %s and queue %d", o, name, o.Queue)})
	}
}

func ownerOf(table string) (o ruleset.Owner, found bool, err error) {
	self, err := ruleset.Self()
	if err != nil {
		return o, false, err
	}
	t, err := ruleset.Open(table, self, QueueBound)
	if err != nil {
		return o, false, err
	}
	o, found, err = t.Owner()
	return o, found, errors.Join(err, t.Close())
}

// QueueBound tells whether a program has the queue. Where the kernel's list is for
// root alone the queue is bound for a moment to find out.
func QueueBound(queue uint16) bool {
	_, err := nfqueue.ReadStats(queue)
	if !errors.Is(err, fs.ErrPermission) {
		return err == nil
	}
	q, err := nfqueue.Open(nfqueue.Config{Queue: queue, Batch: 1})
	if err != nil {
		return errors.Is(err, nfqueue.ErrBound)
	}
	_ = q.Close()
	return false
}

// privilege replaces the advice if the program was only not allowed to look, which
// root may not be either, as in a container.
func privilege(err error, fix string) string {
	if !errors.Is(err, unix.EPERM) || hasNetAdmin() {
		return fix
	}
	if unix.Geteuid() == 0 {
		return "add the capability: root has no CAP_NET_ADMIN here (a container needs --cap-add NET_ADMIN)"
	}
	return "run it as root or give it CAP_NET_ADMIN"
}

// hasNetAdmin asks for the capability of the calling thread, not for its uid.
func hasNetAdmin() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return unix.Geteuid() == 0
	}
	return data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// forwarding looks at switches without which a gateway does not forward.
func (p *prober) forwarding() {
	for _, s := range []struct{ id, path, sysctl string }{
		{idIPv4, "ipv4/ip_forward", "net.ipv4.ip_forward"},
		{idIPv6, "ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"},
	} {
		switch sysctl(s.path) {
		case "1":
			p.add(Item{ID: s.id, Status: Found, Detail: "on"})
		case "0":
			p.add(Item{ID: s.id, Status: Note,
				Detail: "off: only connections of this machine itself can work",
				Fix:    "if it is a gateway: sysctl -w " + s.sysctl + "=1"})
		}
	}
	if sysctl("ipv4/conf/all/rp_filter") == "1" {
		p.add(Item{ID: idReversePath, Status: Note,
			Detail: "strict: with more than one uplink, data connections may be dropped that come in by " +
				"another than the control connection",
			Fix: "if there is more than one uplink: sysctl -w net.ipv4.conf.all.rp_filter=2"})
	}
}

// numbers looks at how connection tracking is set.
func (p *prober) numbers() {
	switch sysctl("netfilter/nf_conntrack_events") {
	case "0":
		p.add(Item{ID: idEvents, Status: Note, Detail: "off: what comes of open ports is not told",
			Fix: "sysctl -w net.netfilter.nf_conntrack_events=2"})
	case "1", "2":
		p.add(Item{ID: idEvents, Status: Found, Detail: "the kernel tells what comes of open ports"})
	}
	switch sysctl("netfilter/nf_conntrack_acct") {
	case "0":
		p.add(Item{ID: idBytes, Status: Note, Detail: "off: the bytes of transfers are not counted",
			Fix: "sysctl -w net.netfilter.nf_conntrack_acct=1"})
	case "1":
		p.add(Item{ID: idBytes, Status: Found, Detail: "the kernel counts the bytes of new connections"})
	}
	p.sizes(number("nf_conntrack_count"), number("nf_conntrack_max"), number("nf_conntrack_expect_max"))
}

// sizes judges the tables of the kernel, which are one for all namespaces; -1 is not known.
func (p *prober) sizes(count, limit, expect int) {
	if count >= 0 && limit > 0 {
		i := Item{ID: idTable, Status: Found, Detail: fmt.Sprintf("%d of %d entries", count, limit)}
		if count > limit/10*9 {
			i.Status, i.Fix = Warning, fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", limit*2)
		}
		p.add(i)
	}
	if expect >= 0 {
		i := Item{ID: idExpectTable, Status: Found, Detail: fmt.Sprintf("room for %d expectations", expect)}
		if expect < p.Open {
			i.Status = Note
			i.Detail = fmt.Sprintf("room for %d expectations, and limits.open is %d: more open ports than "+
				"that at a time are refused with table_full", expect, p.Open)
			i.Fix = fmt.Sprintf("if there may be so many: sysctl -w net.netfilter.nf_conntrack_expect_max=%d",
				p.Open)
		}
		p.add(i)
	}
}

// number is a number of connection tracking's; -1 if it is not there.
func number(name string) int {
	n, err := strconv.Atoi(sysctl("netfilter/" + name))
	if err != nil {
		return -1
	}
	return n
}

// sysctl reads a value under /proc/sys/net; empty if it is not there.
func sysctl(path string) string {
	b, err := os.ReadFile("/proc/sys/net/" + path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
