package systemd

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/test/ftptest"
	"github.com/ftpalg/ftpalg/test/lab"
)

// network has this machine itself as the gateway, so that the unit needs nothing else than what it has: a
// host inside, whose shorter address it hides behind its own, and whose port 21 it forwards; and a host
// outside.
type network struct {
	inside, outside *lab.Host
	address         netip.Addr // of the gateway, outside
	scripted        netip.AddrPort
	server          *ftptest.Server // at scripted; vsftpd has the hosts' first addresses
	big             []byte
}

const rules = `#!/usr/sbin/nft -f
flush ruleset
table inet operator {
	chain prerouting {
		type nat hook prerouting priority dstnat
		ip daddr 203.0.113.1 tcp dport 21 dnat ip to 10.0.0.2
	}
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname "outside" masquerade
	}
	chain forward {
		type filter hook forward priority filter; policy drop
		ct state established,related accept
		tcp dport 21 accept
	}
}
`

// theNetwork is one for all tests, for what it takes to make it.
var theNetwork *network

// connected is the network, made if it is the first time. It ends with the machine.
func connected(t *testing.T) *network {
	t.Helper()
	if theNetwork != nil {
		return theNetwork
	}
	l, err := lab.New()
	must(t, err)
	n := &network{address: netip.MustParseAddr("203.0.113.1"), big: ftptest.Random(300_000, 5)}
	n.inside = join(t, l, "inside", "10.0.0.1/24", "10.0.0.2/24")
	must(t, n.inside.DefaultRoute(netip.MustParseAddr("10.0.0.1")))
	n.outside = join(t, l, "outside", "203.0.113.1/24", "203.0.113.66/24", "203.0.113.67/24")
	must(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	write(t, "/etc/nftables.conf", rules)
	run(t, "systemctl", "restart", "nftables")

	pub := "/srv/ftp/pub"
	must(t, os.MkdirAll(pub, 0o755))
	must(t, os.Chmod(pub, 0o777))
	must(t, os.WriteFile(filepath.Join(pub, "big"), n.big, 0o644))
	vsftpd(t, n.inside)
	vsftpd(t, n.outside)
	n.scripted = netip.MustParseAddrPort("203.0.113.67:21")
	n.server = &ftptest.Server{Network: n.outside, Timeout: patience}
	n.server.Put("file", n.big)
	must(t, n.server.Start(n.scripted))
	theNetwork = n
	return n
}

// join makes a host that is linked to this machine.
func join(t *testing.T, l *lab.Lab, dev, gateway string, addrs ...string) *lab.Host {
	t.Helper()
	h, err := l.Host(dev)
	must(t, err)
	ns := filepath.Base(h.Netns())
	run(t, "ip", "link", "add", dev, "type", "veth", "peer", "name", "eth0", "netns", ns)
	run(t, "ip", "addr", "add", gateway, "dev", dev)
	run(t, "ip", "link", "set", dev, "up")
	for _, a := range addrs {
		must(t, h.AddAddr("eth0", a))
	}
	run(t, "ip", "-n", ns, "link", "set", "eth0", "up")
	return h
}

// vsftpd serves at the first address of a host, a process for each connection.
func vsftpd(t *testing.T, h *lab.Host) {
	t.Helper()
	// Its own sandboxes stay out, so that what fails is not theirs.
	const conf = "/srv/vsftpd.conf"
	must(t, os.WriteFile(conf, []byte(`listen=NO
listen_ipv6=NO
background=NO
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
anonymous_enable=YES
local_enable=NO
anon_umask=022
anon_upload_enable=YES
anon_other_write_enable=YES
anon_world_readable_only=NO
write_enable=YES
connect_from_port_20=YES
`), 0o600))
	l, err := h.Listen("tcp", h.AddrPort(false, 21).String())
	must(t, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if err := serve(h, conf, c.(*net.TCPConn)); err != nil {
				fmt.Println("vsftpd:", err)
			}
		}
	}()
}

func serve(h *lab.Host, conf string, c *net.TCPConn) error {
	defer c.Close()
	f, err := c.File()
	if err != nil {
		return err
	}
	defer f.Close()
	p := h.Command(context.Background(), "/usr/sbin/vsftpd", conf)
	p.Stdin, p.Stdout, p.Stderr = f, f, f
	if err := p.Start(); err != nil {
		return err
	}
	go func() { _ = p.Wait() }() // it ends with its client
	return nil
}

// curl retrieves a file and stores one in all modes, from each side.
func (n *network) curl(t *testing.T) {
	t.Helper()
	for _, side := range []struct {
		client *lab.Host
		server netip.Addr
	}{{n.inside, n.outside.Addr(false)}, {n.outside, n.address}} {
		for mode, options := range map[ftptest.Mode]string{
			ftptest.PORT: "--ftp-port - --disable-eprt", ftptest.EPRT: "--ftp-port -",
			ftptest.PASV: "--disable-epsv --no-ftp-skip-pasv-ip", ftptest.EPSV: "",
		} {
			if err := n.visit(t, side.client, side.server, strings.Fields(options)); err != nil {
				t.Errorf("curl from %s, %s: %v", side.client, mode, err)
			}
		}
	}
}

func (n *network) visit(t *testing.T, client *lab.Host, server netip.Addr, options []string) error {
	t.Helper()
	dir := t.TempDir()
	up, down := filepath.Join(dir, "up"), filepath.Join(dir, "down")
	must(t, os.WriteFile(up, n.big[:1000], 0o644))
	url := fmt.Sprintf("ftp://%s/pub/", server)
	common := append([]string{"-sS", "--max-time", "150", "--user", "anonymous:x"}, options...)
	var args []string
	args = append(args, common...)
	args = append(args, "--output", down, url+"big", "--next")
	args = append(args, common...)
	args = append(args, "--quote", "*DELE pub/up", "--upload-file", up, url)
	if out, err := client.Command(t.Context(), "/usr/bin/curl", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for file, want := range map[string][]byte{down: n.big, "/srv/ftp/pub/up": n.big[:1000]} {
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("%s: %d bytes, %v", file, len(got), err)
		}
	}
	return nil
}

// shifted is an open session from inside whose sequence numbers the gateway has moved.
func (n *network) shifted(t *testing.T) *ftptest.Client {
	t.Helper()
	c, err := ftptest.Dial(t.Context(), n.inside, n.scripted)
	must(t, err)
	c.Timeout = patience
	t.Cleanup(func() { c.Close() })
	must(t, c.Login("u", "p"))
	n.works(t, c)
	sessions := n.server.Sessions()
	arrived := sessions[len(sessions)-1].Last("PORT")
	got, err := c.Get(ftptest.PORT, "file")
	if err != nil || len(got.Sent) == len(arrived) {
		t.Fatalf("%q came as %q, %v: there is no offset", got.Sent, arrived, err)
	}
	return c
}

// works retrieves the file in two modes.
func (n *network) works(t *testing.T, c *ftptest.Client) {
	t.Helper()
	for _, m := range []ftptest.Mode{ftptest.PORT, ftptest.EPSV} {
		if got, err := c.Get(m, "file"); err != nil || !bytes.Equal(got.Data, n.big) {
			t.Fatalf("%s: %d bytes, %v (%s, answered by %s)", m, len(got.Data), err, got.Sent, got.Reply)
		}
	}
}
