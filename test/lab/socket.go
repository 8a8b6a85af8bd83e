package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A port that was just given up may be taken for as long as held: a process that is being started has the
// sockets of this one until it runs its own program, and no event tells of that.
const (
	held      = 5 * time.Second
	lookAgain = time.Millisecond
)

// Listen is [net.Listen] on the host. The address must be a literal.
func (h *Host) Listen(network, address string) (l net.Listener, err error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // plain TCP, as FTP servers speak it
	for end := time.Now().Add(held); ; time.Sleep(lookAgain) {
		err = h.Do(func() error {
			if l, err = lc.Listen(context.Background(), network, address); err != nil {
				return fmt.Errorf("host %s: %w", h, err)
			}
			return nil
		})
		if !errors.Is(err, unix.EADDRINUSE) || time.Now().After(end) {
			return l, err
		}
	}
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
