package main

import (
	"io"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

func TestPacketsThatWaitedWhileTheProgramStoodStillAreDroppedWhereAnotherGatewayIs(t *testing.T) {
	for _, c := range []struct {
		name  string
		stood time.Duration // since the deadline
		alone bool
		want  nfqueue.Verdict
	}{
		{"it turns", 0, false, nfqueue.Accept},
		{"it stood still", time.Second, false, nfqueue.Drop},
		{"it stood still, and nobody else is there", time.Second, true, nfqueue.Accept},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &fakeQueue{batches: []batchOrError{
				{packets: [][]byte{command(t, startSeq, "NOOP\r\n")}},
				{packets: [][]byte{command(t, startSeq, "NOOP\r\n")}},
			}}
			l := testLoop(t, q, io.Discard)
			l.gateway.Told = c.alone
			l.armed = time.Now().Add(-c.stood)
			for range 2 {
				if _, err := l.round(); err != nil {
					t.Fatal(err)
				}
				l.armed = time.Time{}
			}
			if len(q.answers) != 2 || q.answers[0].v != c.want || q.answers[1].v != nfqueue.Accept {
				t.Errorf("answers %+v, want the first to be %v", q.answers, c.want)
			}
		})
	}
}
