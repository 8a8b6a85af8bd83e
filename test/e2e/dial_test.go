package e2e

import (
	"context"
	"net/netip"

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
