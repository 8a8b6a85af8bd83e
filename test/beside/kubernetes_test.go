package beside

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/ftptest"
)

// node is a Kubernetes node with one pod, a client and a server behind a load balancer's address.
var node = place{dev: "cni0", router: "10.244.0.1/24", host: "10.244.0.21", published: "203.0.113.21"}

// clusterIP is the address of the Service within the cluster.
var clusterIP = netip.MustParseAddr("10.96.0.21")

func kubeProxyNftables(r *room) {
	r.write("/etc/cni.nft", text(r.t, "testdata/cni.nft"))
	r.run("nft", "-f", "/etc/cni.nft")
	r.write("/etc/kube-proxy.nft", text(r.t, "testdata/kube-proxy.nft"))
	r.run("nft", "-f", "/etc/kube-proxy.nft")
}

func kubeProxyIptables(r *room) {
	r.write("/etc/cni.nft", text(r.t, "testdata/cni.nft"))
	r.run("nft", "-f", "/etc/cni.nft")
	r.write("/etc/kube-proxy.rules", text(r.t, "testdata/kube-proxy.rules"))
	r.run("iptables-nft-restore", "/etc/kube-proxy.rules")
}

// The ClusterIP rejects each port that is not listed; what was negotiated is let through.
func TestNodeReachesTheServiceByItsClusterIP(t *testing.T) {
	n := newNetwork(t, node)
	kubeProxyNftables(enter(t, n.router))
	// No address of the node is the cluster's; its default route is the way, until kube-proxy changes it.
	must(t, n.router.DefaultRoute(n.outside.Addr(false), n.outside.Addr(true)))
	n.wantFailure(n.login(n.router, netip.AddrPortFrom(clusterIP, 21)), ftptest.EPSV)
	if err := n.dial(n.router, netip.AddrPortFrom(clusterIP, 30000)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a port that is not listed: %v, want it refused", err)
	}
	g := startGateway(t, n.router)
	c := n.login(n.router, netip.AddrPortFrom(clusterIP, 21))
	for _, m := range []ftptest.Mode{ftptest.PASV, ftptest.EPSV, ftptest.PORT} {
		if _, err := c.Get(m, "file"); err != nil {
			t.Errorf("%s: %v", m, err)
		}
	}
	if err := n.dial(n.router, netip.AddrPortFrom(clusterIP, 30000)); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a port that is not listed: %v, want it refused", err)
	}
	g.stop()
}
