package chaos

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/pair"
)

// record writes down who changes the entries of control connections on a gateway, and to what. Where that is
// only the gateway's program it does not listen to updates: then the program would do so, too.
func record(t testing.TB, g *pair.Gateway, paired bool, file string) {
	t.Helper()
	to, err := os.Create(file)
	must(t, err)
	ended := make(chan struct{})
	t.Cleanup(func() {
		<-ended
		_ = to.Close()
	})
	kinds := conntrack.FlowNew | conntrack.FlowDestroy
	if paired {
		kinds |= conntrack.FlowUpdate
	}
	l := g.Listen(t, kinds, 32<<20)
	go func() {
		defer close(ended)
		for {
			err := l.Receive(func(e *conntrack.Event) { write(to, e) })
			if errors.Is(err, os.ErrClosed) {
				return
			}
			if err != nil {
				fmt.Fprintf(to, "%s %v\n", time.Now().Format(clock), err)
			}
		}
	}()
}

// write writes a line of what happened to a control connection.
func write(to io.Writer, e *conntrack.Event) {
	f := &e.Entry
	if f.Tuple[0].Dst.Port() == controlPort {
		fmt.Fprintf(to, "%s %v by %d id %d %v -> %v seq %+v has %v state %#x flight %+v\n",
			time.Now().Format("15:04:05.000000"), e.Kind, e.PortID, f.ID, f.Tuple[0].Src, f.Tuple[0].Dst,
			f.Seq, f.HasSeq, uint16(f.State), f.Flight)
	}
}
