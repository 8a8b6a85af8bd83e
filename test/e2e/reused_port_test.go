package e2e

import (
	"net/netip"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// A client that listens on the same port each time may be led to from another port of the gateway, if that
// one is taken. The kernel drops the SYN of the next connection from elsewhere while it remembers that one.
func TestPortThatWasLedToFromElsewhereIsLedToAgain(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		r := routed(t, (*lab.Lab).ClientBehindNAT)
		at := r.Server.AddrPort(ipv6, lab.ControlPort)
		s := serve(t, &ftptest.Server{}, r.Server, at)
		startGateway(t, r.Gateway)
		other, c := login(t, r.Client, at), login(t, r.Client, at)
		c.ActivePort = 20120
		mine := ftptest.FormatExtended(netip.AddrPortFrom(c.Local().Addr(), c.ActivePort))
		for range 3 {
			if r, err := other.Cmd("EPRT " + mine); err != nil || !r.OK() { // takes that port of the gateway
				t.Fatal(r, err)
			}
			get(t, c, s, ftptest.EPRT, "small")
			if r, err := other.Cmd("EPSV"); err != nil || !r.OK() { // and gives it back
				t.Fatal(r, err)
			}
			get(t, c, s, ftptest.EPRT, "small")
		}
	}
}
