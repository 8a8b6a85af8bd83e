package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen is [net.Listen] for TCP on the host. The address must be a literal. The port is free when the
// listener has been closed.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // plain TCP, as FTP servers speak it
	err = h.Do(func() error {
		if l, err = lc.Listen(context.Background(), network, address); err != nil {
			return fmt.Errorf("host %s: %w", h, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return listener{l.(*net.TCPListener)}, nil
}

// listener gives its port up with Close. A process that is being started has the sockets of this one until
// it runs its own program, and would keep the port for so long.
type listener struct{ *net.TCPListener }

func (l listener) Close() error {
	f, err := l.File() // another descriptor: Accept shall fail because of Close
	if err != nil {
		return l.TCPListener.Close() // it is closed already
	}
	defer f.Close()
	return errors.Join(l.TCPListener.Close(), unix.Shutdown(int(f.Fd()), unix.SHUT_RDWR))
}

// Dial connects by TCP from the host. The zero local address lets the kernel
// choose; a local port may be used for many connections, as an FTP server uses
// port 20.
func (h *Host) Dial(ctx context.Context, local, remote netip.AddrPort) (net.Conn, error) {
	d := &net.Dialer{}
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
		d.Control = reuseAddr
	}
	return h.dial(ctx, d, "tcp", remote.String())
}

// DialContext is [net.Dialer.DialContext] on the host, for an http.Transport
// and the like. The address must be a literal.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return h.dial(ctx, &net.Dialer{}, network, address)
}

func (h *Host) dial(ctx context.Context, d *net.Dialer, network, address string) (c net.Conn, err error) {
	err = h.Do(func() error {
		if c, err = d.DialContext(ctx, network, address); err != nil {
			return fmt.Errorf("host %s: %w", h, err)
		}
		return nil
	})
	return c, err
}

// reuseAddr lets a port be bound again while an earlier connection of it is in
// TIME_WAIT.
func reuseAddr(_, _ string, c syscall.RawConn) error {
	var err error
	if ctl := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}); ctl != nil {
		return ctl
	}
	return err
}
