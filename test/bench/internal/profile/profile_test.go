package profile

import (
	"strings"
	"testing"
)

// What perf script says of four stacks.
const script = `
        ffffffff8 __nla_put
        ffffffff8 ctnetlink_conntrack_event
        ffffffff8 ctnetlink_new_conntrack
        4a1b10 github.com/ftpalg/ftpalg/conntrack/nfqueue.(*Queue).Flush
        4a1b10 main.(*loop).round

        ffffffff8 tcp_v4_rcv
        ffffffff8 nfqnl_recv_verdict
        ffffffff8 __sys_sendmsg

        46f0 github.com/ftpalg/ftpalg/alg/dialogue.(*Dialogue).Read
        46f0 main.(*loop).round

        7f00 [unknown]
`

func TestStackCountsForThePartThatItIsDeepestIn(t *testing.T) {
	var p Profile
	for range 2 {
		if err := p.count("ports", strings.NewReader(script)); err != nil {
			t.Fatal(err)
		}
	}
	text := p.Text()
	for _, want := range []string{
		"| % of the processor time of F | ports |\n",
		"| kernel: events built for those who listen | 25 |\n",
		"| kernel: entries looked up and updated | 0 |\n",
		"| kernel: verdicts, and their packets' way to the receiver | 25 |\n",
		"| streams, dialogues, doors and their fates | 25 |\n",
		"| else | 25 |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
}
