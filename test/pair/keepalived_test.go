package pair

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

// keepalived is one that runs on a gateway, with /etc as the README of deploy/ha has it made.
type keepalived struct {
	*lab.Cmd
	g   *Gateway
	log Output
}

// keep starts keepalived on a gateway. It has a mount namespace of its own, so that the shipped files lie
// where they say that they lie, and the script belongs to root, on which it insists.
func (g *Gateway) keep(t *testing.T, second bool) *keepalived {
	t.Helper()
	etc := filepath.Join(g.Dir, "etc")
	must(t, os.MkdirAll(filepath.Join(etc, "conntrackd"), 0o755))
	must(t, os.MkdirAll(filepath.Join(etc, "keepalived"), 0o755))
	conf := read(t, "keepalived.conf")
	if second {
		conf = strings.ReplaceAll(conf, "priority 100", "priority 50")
	}
	own, err := os.ReadFile(g.Dir + "/conntrackd.conf")
	must(t, err)
	must(t, os.WriteFile(etc+"/keepalived/keepalived.conf", []byte(conf), 0o644))
	must(t, os.WriteFile(etc+"/conntrackd/conntrackd.conf", own, 0o644))
	must(t, os.WriteFile(etc+"/conntrackd/notify", []byte(read(t, "notify")), 0o755))
	const run = `mount --bind "$0/conntrackd" /etc/conntrackd &&
mount --bind "$0/keepalived" /etc/keepalived &&
exec keepalived --dont-fork --log-console --log-detail -p "$0/pid" -r "$0/vrrp.pid" -c "$0/checkers.pid"`
	k := &keepalived{g: g, Cmd: g.Command(context.Background(), "unshare", "-m", "sh", "-c", run, etc)}
	k.Stdout, k.Stderr = &k.log, &k.log
	must(t, k.Start())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("keepalived on %s:\n%s", g, &k.log)
		}
	})
	eventually(t, "keepalived stands by", func() bool {
		return strings.Count(k.log.String(), "Entering BACKUP STATE") >= len(virtual)
	})
	return k
}

// stop ends keepalived as systemd does.
func (k *keepalived) stop(t *testing.T) {
	t.Helper()
	must(t, k.Process.Signal(unix.SIGTERM))
	if err := k.Wait(); err != nil {
		t.Errorf("keepalived on %s ends with %v", k.g, err)
	}
}

// awaitMaster waits until keepalived has given a gateway all virtual addresses, and taken them from the
// other.
func (p *Pair) awaitMaster(i int) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s has the virtual addresses", p.Gateways[i]), func() bool {
		return p.Gateways[i].virtuals(p.t) == 4 && p.Gateways[1-i].virtuals(p.t) == 0
	})
	p.Active = i
}

// virtuals counts the virtual addresses of a gateway.
func (g *Gateway) virtuals(t testing.TB) (n int) {
	t.Helper()
	for dev, wanted := range virtual {
		link, err := g.Netlink().LinkByName(dev)
		must(t, err)
		have, err := g.Netlink().AddrList(link, netlink.FAMILY_ALL)
		must(t, err)
		for _, a := range have {
			for _, w := range wanted {
				if a.IPNet.String() == w {
					n++
				}
			}
		}
	}
	return n
}

// keepalived itself moves the addresses: where it is stopped, and where a cable is pulled out. Under it are
// sessions with offsets, and with doors that wait.
func TestKeepalivedMovesTheGatewayAndSessionsAndDoorsGoOn(t *testing.T) {
	need(t, "keepalived", "unshare")
	p := newPair(t)
	var kept [2]*keepalived
	kept[0] = p.Gateways[0].keep(t, false)
	p.awaitMaster(0)
	kept[1] = p.Gateways[1].keep(t, true)

	var sessions []*session
	for i := range sides {
		sessions = append(sessions, p.login(&sides[i]))
	}
	stopAndStart := func(from int) {
		kept[from].stop(t)
		p.awaitMaster(1 - from)
		kept[from] = p.Gateways[from].keep(t, from == 1)
	}
	p.across(sessions, stopAndStart)
	p.across(sessions, stopAndStart)
	p.across(sessions, func(from int) { p.Plug(from, "inside", false) })
	p.Plug(0, "inside", true)
	p.across(sessions, func(from int) { p.Plug(from, "outside", false) })
}

// across has doors of sessions, one of each side, wait while the gateways change places.
func (p *Pair) across(sessions []*session, move func(from int)) {
	p.t.Helper()
	var doors []door
	for i, x := range sessions {
		modes := sides[i].modes()
		for _, m := range modes { // before it, so that there is an offset
			x.finish(x.begin(x.agree(m), "small"), "small", nil)
		}
		doors = append(doors, x.agree(modes[p.Active]))
		p.alike(x.original)
		p.opened(x.original)
		if !x.portOnly(&sides[i]) {
			p.wantOffset(x)
		}
	}
	from := p.Active
	other := p.Gateways[1-from]
	had := other.resyncs()
	move(from)
	p.awaitMaster(1 - from)
	eventually(p.t, "notify has told conntrackd", func() bool { return other.resyncs() == had+1 })
	for i, x := range sessions {
		x.finish(x.begin(doors[i], "small"), "small", nil)
		x.noop()
		p.alike(x.original)
	}
}

// resyncs counts how often conntrackd was told that its gateway is the active one now.
func (g *Gateway) resyncs() int {
	return strings.Count(g.Log.String(), "resync with master conntrack table")
}

// portOnly tells whether nothing of the session is ever rewritten to another length: there is no address in
// 229.
func (x *session) portOnly(s *side) bool { return s.ipv6 && x.host == x.p.Outside }

// wantOffset makes sure that the kernel translates sequence numbers of a session.
func (p *Pair) wantOffset(x *session) {
	p.t.Helper()
	if f := p.Gateways[p.Active].flow(p.t, x.original); f.Seq[0].After == 0 && f.Seq[1].After == 0 {
		p.t.Errorf("no offset: the test proves nothing: %+v", f)
	}
}

// `ftpalg check` on the standby says of the other gateway's sessions what `ftpalg status` says.
func TestCheckOnTheStandbySaysWhatStatusSays(t *testing.T) {
	p := newPair(t)
	p.Activate(0)
	for i := range sides {
		x := p.login(&sides[i])
		p.alike(x.original)
	}
	const line = "standby: 4 control connections replicated"
	tells := func(g *Gateway, args ...string) bool {
		out, err := g.Command(context.Background(), program, args...).Output()
		if err != nil && len(out) == 0 {
			t.Fatalf("%v: %v", args, err)
		}
		return strings.Contains(string(out), line)
	}
	for _, args := range [][]string{{"status", "--socket"}, {"check", "--socket-path"}} {
		by, active := p.Standby(), p.Gateways[p.Active]
		eventually(t, fmt.Sprintf("%s on the standby says %q", args[0], line), func() bool {
			return tells(by, append(args, by.Dir+"/sock")...)
		})
		if tells(active, append(args, active.Dir+"/sock")...) {
			t.Errorf("%s on the active gateway says it too", args[0])
		}
	}
}
