package alg

import (
	"net/netip"
	"testing"

	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

func nets(texts ...string) (all []netip.Prefix) {
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func TestFirstPolicyThatFitsTheNetworksCounts(t *testing.T) {
	for _, c := range []struct {
		name    string
		flow    conntrack.Flow
		between []policy.Network
		want    int // index; -1: the gateway's own
	}{
		{"none", firewallFlow(), nil, -1},
		{"of the client", firewallFlow(), []policy.Network{{Clients: nets("10.0.13.0/24")}}, 0},
		{"of another client", firewallFlow(), []policy.Network{{Clients: nets("10.0.14.0/24")}}, -1},
		{"of the client before source NAT", snatFlow(),
			[]policy.Network{{Clients: nets("203.0.113.0/24")}, {Clients: nets("10.0.13.222/32")}}, 1},
		{"of the server", firewallFlow(),
			[]policy.Network{{Servers: nets("10.0.13.0/24")}, {Servers: nets("10.0.1.66/32")}}, 1},
		{"of the server as dialled", dnatFlow(), []policy.Network{{Servers: nets("198.51.100.1/32")}}, 0},
		{"of the server behind destination NAT", dnatFlow(),
			[]policy.Network{{Servers: nets("10.0.1.66/32")}}, 0},
		{"of both", firewallFlow(),
			[]policy.Network{{Clients: nets("10.0.13.0/24"), Servers: nets("10.0.1.0/24")}}, 0},
		{"of one of both", firewallFlow(),
			[]policy.Network{{Clients: nets("10.0.13.0/24"), Servers: nets("10.0.2.0/24")}}, -1},
		{"of any of several", firewallFlow(),
			[]policy.Network{{Clients: nets("10.0.2.0/24", "10.0.13.0/24")}}, 0},
		{"the first of two", firewallFlow(),
			[]policy.Network{{Clients: nets("10.0.0.0/8")}, {Clients: nets("10.0.13.0/24")}}, 0},
		{"IPv6", natFlow(client6, server6, server6, client6),
			[]policy.Network{{Clients: nets("0.0.0.0/0")}, {Clients: nets("2001:db8:1::/48")}}, 1},
	} {
		g := New(&fakeKernel{}, policy.Default(), c.between...)
		want := &g.policy
		if c.want >= 0 {
			want = &g.between[c.want].Policy
		}
		of := c.flow.Tuple
		e := dialogue.Endpoints{Client: of[0].Src, Dialled: of[0].Dst, Server: of[1].Src, Outside: of[1].Dst}
		if g.policyOf(&e) != want {
			t.Errorf("%s: another policy counts", c.name)
		}
	}
}

func TestPolicyOfANetworkDecidesForItAlone(t *testing.T) {
	off := policy.Default()
	off.Active = false
	for _, c := range []struct {
		clients string
		want    []string
	}{
		{"10.0.13.0/24", nil},
		{"10.0.14.0/24", []string{"10.0.1.66>10.0.13.222:10120=10.0.13.222:10120"}},
	} {
		d := newTalk(t, firewallFlow(), policy.Default())
		d.g.SetPolicy(policy.Default(), policy.Network{Clients: nets(c.clients), Policy: off})
		d.login().c("PORT 10,0,13,222,39,136\r\n")
		d.wantOpen(c.want...)
	}
}

func TestChangedPolicyCountsForSessionsThatRun(t *testing.T) {
	own := policy.Network{Clients: nets("10.0.13.0/24"), Policy: policy.Default()}
	own.Policy.Strict = policy.Strict{Enabled: true}
	d := newTalk(t, firewallFlow(), policy.Default()).login()
	d.g.SetPolicy(policy.Default(), own)
	d.wantArrived("under the strict policy", d.c("NOOP\n"), "xxxx\n")
	d.s("500 what?\r\n")
	d.g.SetPolicy(policy.Default())
	d.wantArrived("under the standard policy", d.c("NOOP\n"), "NOOP\n")
}
