package lab_test

import (
	"context"
	"os/exec"
	"sync"
	"testing"

	"github.com/ftpalg/ftpalg/test/lab"
)

// A process that is being started has the sockets of its parent until it runs its own
// program, and so may hold a port that was given up.
func TestClosedPortIsFreeThoughProcessesStart(t *testing.T) {
	h, err := lab.NewT(t).Host("listener")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	defer starting.Wait()
	defer end()
	for range 4 {
		starting.Go(func() {
			for ctx.Err() == nil {
				if err := exec.Command("true").Run(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 2000 {
		l, err := h.Listen("tcp", "127.0.0.1:1025")
		if err != nil {
			t.Fatalf("listening for time %d: %v", i+1, err)
		}
		l.Close()
	}
}
