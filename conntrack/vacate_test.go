package conntrack

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

func TestVacateRemovesTheEntryOfAnEndedConnectionAlone(t *testing.T) {
	r := netnstest.NewRouter(t)
	c := dialIn(t, r.Gateway)
	client, peer := open(t, r, netnstest.Server)
	want := tuples(t, client, peer)
	for _, tuple := range want {
		if holder, err := c.Vacate(tuple); !errors.Is(err, ErrBusy) || holder != want[Original] {
			t.Errorf("of one that lives: %v, %v", holder, err)
		}
	}
	exchange(t, client, peer)
	if err := errors.Join(client.Close(), peer.(*net.TCPConn).CloseWrite()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		var e Entry
		if err := c.Entry(want[Original], &e); err != nil || time.Now().After(end) {
			t.Fatalf("%+v, %v", e, err)
		} else if e.TCP.State == TCPTimeWait {
			break
		}
	}
	for range 2 { // there is none at the second time
		if holder, err := c.Vacate(want[Reply]); err != nil || holder != (Tuple{}) {
			t.Errorf("of one that has ended: %v, %v", holder, err)
		}
		if _, err := c.Flow(want[Original]); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
}
