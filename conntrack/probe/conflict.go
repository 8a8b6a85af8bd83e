package probe

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/mdlayher/netlink"
)

// kernelHelper is the kernel's own FTP helper. A connection has one helper, and
// the first to attach one wins.
const kernelHelper = "ftp"

const itemKernelHelper = "kernel's FTP helper"

// conflicts looks for what takes control connections away from ftpalg.
func (p *prober) conflicts() {
	p.automaticHelpers()
	nft, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetDeadline(time.Now().Add(5 * time.Second))
	}))
	if err != nil {
		return
	}
	tables, err := nft.ListTables()
	if err != nil {
		return
	}
	var helpers, flowtables []string
	for _, t := range tables {
		name := fmt.Sprintf("%s %s", family(t.Family), t.Name)
		if attachesFTP(nft, t) {
			helpers = append(helpers, name)
		}
		if all, err := nft.ListFlowtables(t); err == nil && len(all) > 0 {
			flowtables = append(flowtables, name)
		}
	}
	if len(helpers) > 0 {
		p.add(Item{Name: itemKernelHelper, Status: Note,
			Detail: "attached by the tables " + strings.Join(helpers, ", ") +
				": ftpalg can do nothing for connections that have it",
			Fix: "remove those rules"})
	} else {
		p.add(Item{Name: itemKernelHelper, Status: Found, Detail: "no nftables rule attaches it"})
	}
	if len(flowtables) > 0 {
		p.add(Item{Name: "flowtables", Status: Note,
			Detail: "in the tables " + strings.Join(flowtables, ", ") +
				": connections with a helper are not offloaded, data connections may be"})
	}
	if names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names"); err == nil &&
		bytes.Contains(names, []byte("raw")) {
		p.add(Item{Name: "legacy iptables", Status: Note,
			Detail: "its table raw is in use and cannot be seen from here",
			Fix:    "make sure that no CT rule in it attaches the helper ftp: iptables-legacy -t raw -S"})
	}
}

// automaticHelpers looks at the switch that kernels before 6.0 have.
func (p *prober) automaticHelpers() {
	if sysctl("netfilter/nf_conntrack_helper") == "1" {
		p.add(Item{Name: "automatic helpers", Status: Note,
			Detail: "the kernel attaches its own FTP helper to connections to port 21",
			Fix:    "sysctl -w net.netfilter.nf_conntrack_helper=0"})
	}
}

// attachesFTP tells whether the table has a helper object for the kernel's FTP
// helper or, as iptables-nft writes it, a CT target with it.
func attachesFTP(nft *nftables.Conn, t *nftables.Table) bool {
	objs, err := nft.GetNamedObjects(t)
	if err == nil {
		for _, o := range objs {
			if n, ok := o.(*nftables.NamedObj); ok && isFTPObject(n) {
				return true
			}
		}
	}
	if t.Name != "raw" { // the CT target works in no other
		return false
	}
	chains, err := nft.ListChainsOfTableFamily(t.Family)
	if err != nil {
		return false
	}
	for _, c := range chains {
		if c.Table.Name == t.Name && hasFTPTarget(nft, t, c) {
			return true
		}
	}
	return false
}

func isFTPObject(o *nftables.NamedObj) bool {
	h, ok := o.Obj.(*expr.CtHelper)
	return ok && isFTPName([]byte(h.Name))
}

// isFTPName also knows the helper for another port, "ftp-2121".
func isFTPName(b []byte) bool {
	name, _, _ := strings.Cut(string(b), "\x00")
	return name == kernelHelper || strings.HasPrefix(name, kernelHelper+"-")
}

func hasFTPTarget(nft *nftables.Conn, t *nftables.Table, c *nftables.Chain) bool {
	rules, err := nft.GetRules(t, c)
	if err != nil {
		return false
	}
	for _, r := range rules {
		for _, e := range r.Exprs {
			target, ok := e.(*expr.Target)
			if !ok || target.Name != "CT" {
				continue
			}
			if info, ok := target.Info.(*xt.Unknown); ok && isFTPTarget(*info) {
				return true
			}
		}
	}
	return false
}

// isFTPTarget reads the helper name of struct xt_ct_target_info: 16 bytes after
// flags, zone and two event masks.
func isFTPTarget(info []byte) bool {
	const at, size = 12, 16
	return len(info) >= at+size && isFTPName(info[at:at+size])
}

func family(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyINet:
		return "inet"
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	}
	return fmt.Sprintf("family-%d", f)
}

// forwarding looks at switches without which a gateway does not forward.
func (p *prober) forwarding() {
	for _, s := range []struct{ name, path, sysctl string }{
		{"IPv4 forwarding", "ipv4/ip_forward", "net.ipv4.ip_forward"},
		{"IPv6 forwarding", "ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"},
	} {
		switch sysctl(s.path) {
		case "1":
			p.add(Item{Name: s.name, Status: Found, Detail: "on"})
		case "0":
			p.add(Item{Name: s.name, Status: Note,
				Detail: "off: only connections of this machine itself can work",
				Fix:    "if it is a gateway: sysctl -w " + s.sysctl + "=1"})
		}
	}
	if sysctl("ipv4/conf/all/rp_filter") == "1" {
		p.add(Item{Name: "reverse path filter", Status: Note,
			Detail: "strict: with more than one uplink, data connections may be dropped that come in by " +
				"another than the control connection",
			Fix: "if there is more than one uplink: sysctl -w net.ipv4.conf.all.rp_filter=2"})
	}
}

// sysctl reads a value under /proc/sys/net; empty if it is not there.
func sysctl(path string) string {
	b, err := os.ReadFile("/proc/sys/net/" + path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
