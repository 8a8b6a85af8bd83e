package e2e

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// A client may name another host only where it is in a network of those, and then the port is that host's.
func TestNetworksThatAClientMayName(t *testing.T) {
	for _, k := range kinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, k, "", metered)
			n.listen(t, 30730)
			for _, c := range []struct {
				name, networks, line string
				ipv6                 bool
				opens                *lab.Host // nil: nothing
			}{
				{"none", "", "PORT 10,0,13,99,120,10\r\n", false, nil},
				{"PORT", "10.0.13.99", "PORT 10,0,13,99,120,10\r\n", false, n.clientNeighbour},
				{"EPRT", "fd00:2::/64, 10.0.13.96/28", "EPRT |1|10.0.13.99|30730|\r\n", false,
					n.clientNeighbour},
				{"IPv6", "fd00:13::/64", "EPRT |2|fd00:13::63|30730|\r\n", true, n.clientNeighbour},
				{"none, IPv6", "10.0.13.0/24", "EPRT |2|fd00:13::63|30730|\r\n", true, nil},
				{"outside", "10.0.13.96/28", "PORT 10,0,13,112,120,10\r\n", false, nil},
				{"the server", "10.0.13.0/24", "PORT 10,0,1,66,120,10\r\n", false, nil},
				{"itself", "10.0.13.99", own, false, n.Client},
			} {
				t.Run(c.name, func(t *testing.T) {
					n.configure(t, "fxp_networks: ["+c.networks+"]\n")
					d := n.connect(t, n.Client, c.ipv6, 21).start(loggedIn)
					grows := 0
					if c.opens == nil {
						grows = 1
					}
					n.g.counts(t, refused("foreign_address"), grows, func() { d.play(active(c.line)...) })
					if c.opens != nil {
						n.wantOpenFor(t, c.opens, n.Server, c.ipv6)
					} else {
						n.g.wantNothingOpen()
						n.wantClosed(t, n.Server, c.ipv6, 30730)
					}
				})
			}
		})
	}
}

// Peers in internal networks are shown the address that the gateway knows, others the external one.
func TestInternalPeersAreShownTheirOwnAddress(t *testing.T) {
	n := newGuarded(t, kinds[2], "")
	s := n.serve(&ftptest.Server{})
	for _, c := range []struct{ internal, want string }{
		{"10.0.0.0/8", "198.51.100.99"}, {"10.0.0.0/8, 203.0.113.222", "203.0.113.1"},
	} {
		n.configure(t, "external_address: 198.51.100.99\ninternal_networks: ["+c.internal+"]\n")
		client := n.login(t)
		reply, err := client.Cmd("PASV")
		must(t, err)
		if told, err := ftptest.ParsePort(reply.Raw); err != nil || told.Addr().String() != c.want {
			t.Errorf("with %s internal the client was told %s", c.internal, reply)
		}
	}
	get(t, n.login(t), s, ftptest.PASV, "small") // the last ones are still in force
}

// The limits of all clients together, and of a network that counts as one client. The clients
// are neighbours.
func TestLimitsOfSeveralClients(t *testing.T) {
	n := newGuarded(t, kinds[1], "", metered)
	s := n.serve(&ftptest.Server{})
	for _, c := range []struct{ name, rule, reason, off string }{
		{"open", "limits: {open: 1}", "pinhole_limit", "limits: {open: 2, per_client: {open: 1}}"},
		{"new_per_minute", "limits: {new_per_minute: 1}", "rate_limit", "limits: {new_per_minute: 0}"},
		{"ipv4_prefix, open", "limits: {per_client: {open: 1, ipv4_prefix: 24}}", "pinhole_limit",
			"limits: {per_client: {open: 1}}"},
		{"ipv4_prefix, sessions", "limits: {per_client: {sessions: 1, ipv4_prefix: 24}}", "session_limit",
			"limits: {per_client: {sessions: 1}}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := netip.AddrPortFrom(n.dialled[0], 21)
			clients := func() (one, two *ftptest.Client) {
				return login(t, n.Client, at), login(t, n.clientNeighbour, at)
			}
			n.configure(t, c.rule)
			one, two := clients()
			accepted(t, one, named)
			n.g.counts(t, refused(c.reason), 1,
				func() { wantRefusal(t, two, "PORT 10,0,13,99,120,11", 500, 501) })
			if es := n.g.expectations(); len(es) != 1 {
				t.Errorf("open is %+v, want one port", es)
			}
			n.listen(t, 30731)
			n.wantClosed(t, n.Server, false, 30731)
			accepted(t, two, "NOOP")
			one.Close()
			two.Close()

			n.configure(t, c.off)
			one, two = clients()
			accepted(t, one, named)
			get(t, two, s, ftptest.PORT, "small")
			one.Close()
			two.Close()
		})
	}
}

// Without NAT the kernel has no place for offsets, but its window tracking must let them pass: what
// it takes for an acknowledgement of bytes that nobody sent is no part of an established connection.
func TestSessionGoesOnWithoutNATAfterALineThatGrew(t *testing.T) {
	for _, c := range []struct {
		rule string
		line []string
	}{
		{"strict: {deny: [SITE]}", []string{"c>SITE a", "c>b\r\n"}},
		{"external_address: 198.151.100.199", []string{"c>" + own}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			n := newGuarded(t, kinds[0], c.rule)
			d := n.connect(t, n.Client, false, 21).start(loggedIn)
			d.play(append(c.line, "s>500 no\r\n", "c>NOOP\r\n", "s>200 ok\r\n")...)
		})
	}
}

// Another host that the client may name is opened a port as it named it, however the line comes.
func TestAnotherHostNamedInPieces(t *testing.T) {
	for _, k := range kinds[:2] {
		for _, at := range cuts {
			t.Run(fmt.Sprintf("%s, cut at %d", k.name, at), func(t *testing.T) {
				n := newGuarded(t, k, "fxp_networks: [10.0.13.99]")
				n.listen(t, 30730)
				const line = "PORT 10,0,13,99,120,10\r\n"
				pieces := inPieces([]string{"c>" + line}, at)
				d := n.connect(t, n.Client, false, 21).start(loggedIn)
				var got string
				for _, p := range pieces {
					got += d.play(p)
				}
				if es := n.g.expectations(); got == line {
					n.wantOpenFor(t, n.clientNeighbour, n.Server, false)
				} else if len(es) != 0 { // refused would do
					t.Errorf("the server received %q, and open is %+v", got, es)
				}
			})
		}
	}
}
