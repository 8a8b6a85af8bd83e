package ftptest

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Network makes sockets. A host of the test lab is one.
type Network interface {
	Listen(network, address string) (net.Listener, error)
	// Dial connects by TCP. The zero local address lets the kernel choose.
	Dial(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error)
}

// own is the network of the process.
type own struct{}

func (own) Listen(network, address string) (net.Listener, error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // plain TCP, as FTP servers speak it
	return lc.Listen(context.Background(), network, address)
}

func (own) Dial(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
		d.Control = reuseAddr
	}
	return d.DialContext(ctx, "tcp", remote.String())
}

// reuseAddr lets one local port serve many connections, as port 20 does.
func reuseAddr(_, _ string, c syscall.RawConn) (err error) {
	if ctl := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}); ctl != nil {
		return ctl
	}
	return err
}

func networkOf(n Network) Network {
	if n == nil {
		return own{}
	}
	return n
}

// addrPort converts the address of a TCP socket.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	p := t.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
