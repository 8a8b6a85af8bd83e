package e2e

import (
	"context"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/test/lab"
)

// dial tries to connect once.
func dial(from *lab.Host, to string) error {
	at, err := netip.ParseAddrPort(to)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), impatience)
	defer cancel()
	c, err := from.Dial(ctx, netip.AddrPort{}, at)
	if err == nil {
		c.Close()
	}
	return err
}

// awaitAcknowledgement waits until the other side has acknowledged all that was sent.
func (d *dialogue) awaitAcknowledgement(c *net.TCPConn) {
	d.Helper()
	for deadline := time.Now().Add(patience); d.queued(c, unix.SIOCOUTQ) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			d.Fatal("what was said is not acknowledged")
		}
	}
}

// queued is how many bytes a socket has received and not given, or sent without an acknowledgement.
func (d *dialogue) queued(c *net.TCPConn, what uint) int {
	d.Helper()
	raw, err := c.SyscallConn()
	must(d, err)
	var n uint32 // an int of C, of which IoctlGetInt reads eight bytes
	var asked error
	must(d, raw.Control(func(fd uintptr) { n, asked = unix.IoctlGetUint32(int(fd), what) }))
	must(d, asked)
	return int(n)
}
