package e2e

import (
	"context"
	_ "embed"
	"errors"
	"io/fs"
	"net/netip"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// The rules that Docker writes on such a host.
//
//go:embed testdata/docker28.rules
var dockerRules string

// withoutProxy are the rules with "userland-proxy": false in Docker's configuration: the
// kernel alone brings containers back to their own network, and localhost to containers.
var withoutProxy = strings.NewReplacer(
	"-A OUTPUT ! -d 127.0.0.0/8 -m addrtype", "-A OUTPUT -m addrtype",
	"-A POSTROUTING -s", "-A POSTROUTING -o docker0 -m addrtype --src-type LOCAL -j MASQUERADE\n-A "+
		"POSTROUTING -s",
	"-A DOCKER ! -i docker0 -p tcp -m tcp --dport 21 -j DNAT",
	"-A POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 21 -j MASQUERADE\n"+
		"-A DOCKER -p tcp -m tcp --dport 21 -j DNAT",
).Replace(dockerRules)

// dockerHost is a machine with a container that serves FTP, published as port 21.
type dockerHost struct {
	host, container, outside *lab.Host
	bridge, lan              *lab.Segment
}

// newDockerHost makes the machine and gives it rules.
func newDockerHost(t testing.TB, rules string) *dockerHost {
	t.Helper()
	d := &dockerHost{}
	var err error
	d.host, err = lab.NewT(t).Host("docker")
	must(t, err)
	d.bridge, err = d.host.Segment("docker0", "172.17.0.1/16", "fd00:17::1/64")
	must(t, err)
	d.container, err = d.bridge.Host("container", "172.17.0.2", "fd00:17::2")
	must(t, err)
	must(t, d.bridge.Route(d.container))
	d.lan, err = d.host.Segment("lan", "203.0.113.1/24", "2001:db8:113::1/64")
	must(t, err)
	d.outside, err = d.lan.Host("client", "203.0.113.222", "2001:db8:113::222")
	must(t, err)
	// A neighbour can send to the container's address: it is the rules that keep it out.
	must(t, d.outside.Route(netip.MustParsePrefix("172.17.0.0/16"), d.lan.Addr(false)))
	must(t, d.host.Forwarding(true))
	restore := d.host.Command(context.Background(), peer(t, "iptables-restore"))
	restore.Stdin = strings.NewReader(rules)
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("loading Docker's rules: %v\n%s", err, out)
	}
	return d
}

// published is where the container's port can be reached.
func (d *dockerHost) published() netip.AddrPort { return d.lan.AddrPort(false, 21) }

// bridgeNetfilter chooses whether iptables sees what stays on a bridge. Docker turns it
// on where it needs it, and so do others, for all bridges of a machine.
func (d *dockerHost) bridgeNetfilter(t testing.TB, on bool) {
	t.Helper()
	value := "0"
	if on {
		value = "1"
	}
	err := d.host.Sysctl("net.bridge.bridge-nf-call-iptables", value)
	switch {
	case errors.Is(err, fs.ErrNotExist) && on:
		t.Skip("SKIPPED, NOT TESTED: the kernel has no br_netfilter (modprobe br_netfilter)")
	case !errors.Is(err, fs.ErrNotExist):
		must(t, err)
	}
}

// containerAddresses are what a server in a container may believe to be its address.
var containerAddresses = []string{"172.17.0.2", "0.0.0.0"}

func TestDockerHostWithOnlyTheControlPortPublished(t *testing.T) {
	for _, bridged := range []bool{false, true} {
		for _, advertised := range containerAddresses {
			t.Run("bridge netfilter "+onOff(bridged)+"/"+advertised, func(t *testing.T) {
				d := newDockerHost(t, dockerRules)
				d.bridgeNetfilter(t, bridged)
				s := serve(t, &ftptest.Server{Advertise: netip.MustParseAddr(advertised)}, d.container,
					d.container.AddrPort(false, 21))
				for _, m := range modes(false, false) {
					wantFailure(t, login(t, d.outside, d.published()), m)
				}
				g := startGateway(t, d.host)
				c := login(t, d.outside, d.published())
				for range 3 {
					for _, m := range modes(false, false) {
						if tr := get(t, c, s, m, "big"); tr.Endpoint.Addr() != d.published().Addr() {
							t.Errorf("%s: the client was told %s, want the dialled %s", m, tr.Endpoint,
								d.published().Addr())
						}
					}
				}
				up := ftptest.Random(300_000, 4)
				_, err := c.Put(ftptest.EPSV, "up", up)
				must(t, err)
				if got, _ := s.File("up"); string(got) != string(up) {
					t.Errorf("stored are %d bytes, other than those sent", len(got))
				}
				for _, m := range modes(false, true) {
					get(t, c, s, m, "big")
				}
				g.wantNothingOpen()
				for _, passive := range []uint16{22, 30000} {
					if err := dial(d.outside,
						netip.AddrPortFrom(d.published().Addr(), passive).String()); err == nil {
						t.Errorf("port %d of the host is open", passive)
					}
				}
				if err := dial(d.outside, d.container.AddrPort(false, 21).String()); err == nil {
					t.Error("the container can be reached without its published port")
				}
			})
		}
	}
}

func TestDockerHostReachesItsContainerThroughItsOwnAddress(t *testing.T) {
	for _, advertised := range containerAddresses {
		t.Run(advertised, func(t *testing.T) {
			d := newDockerHost(t, dockerRules)
			s := serve(t, &ftptest.Server{Advertise: netip.MustParseAddr(advertised)}, d.container,
				d.container.AddrPort(false, 21))
			// By PASV it finds the container anyhow, if that knows its address.
			wantFailure(t, login(t, d.host, d.published()), ftptest.EPSV)
			g := startGateway(t, d.host)
			c := login(t, d.host, d.published())
			for _, m := range append(modes(false, false), modes(false, true)...) {
				get(t, c, s, m, "big")
			}
			g.wantNothingOpen()
		})
	}
}

// Only without Docker's proxy do such connections reach the container by NAT. Its answers
// to a neighbour stay on the bridge, where NAT needs bridge netfilter.
func TestContainersReachOneAnotherThroughTheHostsAddress(t *testing.T) {
	for _, advertised := range containerAddresses {
		t.Run(advertised, func(t *testing.T) {
			d := newDockerHost(t, withoutProxy)
			d.bridgeNetfilter(t, true)
			other, err := d.bridge.Host("other", "172.17.0.3", "fd00:17::3")
			must(t, err)
			must(t, d.bridge.Route(other))
			s := serve(t, &ftptest.Server{Advertise: netip.MustParseAddr(advertised)}, d.container,
				d.container.AddrPort(false, 21))
			// By PASV it finds its neighbour anyhow, if that knows its address.
			wantFailure(t, login(t, other, d.published()), ftptest.EPSV)
			g := startGateway(t, d.host)
			c := login(t, other, d.published())
			for _, m := range append(modes(false, false), modes(false, true)...) {
				get(t, c, s, m, "big")
			}
			g.wantNothingOpen()
		})
	}
}

// A container that is a client: Docker masquerades it.
func TestContainerTransfersActivelyFromAServerOutside(t *testing.T) {
	d := newDockerHost(t, dockerRules)
	s := serve(t, &ftptest.Server{CheckAddress: true, Timeout: impatience}, d.outside,
		d.outside.AddrPort(false, 21))
	for _, m := range modes(false, true) {
		wantFailure(t, login(t, d.container, d.outside.AddrPort(false, 21)), m)
	}
	g := startGateway(t, d.host)
	c := login(t, d.container, d.outside.AddrPort(false, 21))
	for _, m := range modes(false, true) {
		get(t, c, s, m, "big")
	}
	g.wantNothingOpen()
}
