package conntrack

import (
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

func TestExpectAndWithdrawCostFewSystemCalls(t *testing.T) {
	r, c := gateway(t)
	r.Gateway.Sysctl("netfilter/nf_conntrack_events", "1")
	client, peer := open(t, r, netnstest.Server)
	e := active(flow(t, c, client, peer), 40000)
	before := c.Calls()
	long, err := c.Create(&e)
	if n := c.Calls() - before; err != nil || e.ID == 0 || !e.Told || !long || n > 2 {
		t.Errorf("expect: %+v, %v, %v, %d system calls", e, long, err, n)
	}
	before = c.Calls()
	err = c.Withdraw(e)
	if n := c.Calls() - before; err != nil || n > 2 {
		t.Errorf("withdraw: %v, %d system calls", err, n)
	}
	if all, err := c.Expectations(); err != nil || len(all) != 0 {
		t.Errorf("left: %+v, %v", all, err)
	}
}

// A control connection has no room for events if nobody listened when it began.
func TestExpectationIsKnownWhereTheKernelMakesNoEvents(t *testing.T) {
	r, c := gateway(t)
	r.Gateway.Sysctl("netfilter/nf_conntrack_events", "0")
	client, peer := open(t, r, netnstest.Server)
	e := active(flow(t, c, client, peer), 40000)
	for range 2 { // the second one replaces the first
		e.ID = 0
		if err := c.Expect(&e); err != nil || e.ID == 0 || e.Told {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	all, err := c.Expectations()
	if err != nil || len(all) != 1 || all[0].ID != e.ID || all[0].Timeout > e.Timeout {
		t.Errorf("%+v, %v, want the one with id %#x", all, err, e.ID)
	}
	client, peer = open(t, r, netnstest.Server)
	other := active(flow(t, c, client, peer), 40000)
	if err := c.Expect(&other); !errors.Is(err, ErrPortTaken) {
		t.Errorf("a port that another control connection has: %v", err)
	}
}

func TestRefusedExpectationLeavesTheTimeoutOfTheOneThatHasThePort(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	first := active(flow(t, c, client, peer), 40002)
	client, peer = open(t, r, netnstest.Server)
	second := active(flow(t, c, client, peer), 40002)
	second.Timeout = 200 * time.Second
	if err := expect(c, first); err != nil {
		t.Fatal(err)
	}
	if err := expect(c, second); !errors.Is(err, ErrPortTaken) {
		t.Error(err)
	}
	if all, err := c.Expectations(); err != nil || len(all) != 1 || all[0].Timeout > first.Timeout {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestAStaleIDWithdrawsNothing(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	e := active(flow(t, c, client, peer), 40003)
	id, err := expectID(c, e)
	if err != nil {
		t.Fatal(err)
	}
	e.ID = id + 1
	if err := c.Withdraw(e); err != nil {
		t.Error(err)
	}
	if all, err := c.Expectations(); err != nil || len(all) != 1 || all[0].ID != id {
		t.Errorf("%+v, %v", all, err)
	}
}

// sendRaw sends a datagram and returns the errors by the sequence numbers of those of its
// messages that were refused, up to the answer to the last, which must ask for it.
func sendRaw(t testing.TB, c *Conn, datagram []byte, last uint32) map[uint32]error {
	t.Helper()
	c.in = nil
	if _, err := unix.Write(c.fd, datagram); err != nil {
		t.Fatal(err)
	}
	refused := map[uint32]error{}
	for {
		seq, _, _, err := c.read()
		if seq == 0 {
			t.Fatal(err)
		}
		if err != nil {
			refused[seq] = err
		}
		if seq == last {
			return refused
		}
	}
}

func TestAppendedRequestsAreDoneInOneDatagramAndOnlyRefusalsAreAnswered(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	f := flow(t, c, client, peer)
	e := active(f, 40004)
	var err error
	if e.ID, err = expectID(c, e); err != nil {
		t.Fatal(err)
	}
	orig := f.Tuple[Original]
	longer := e
	longer.Timeout = 90 * time.Second
	u := Update{SetSeq: [2]bool{true, false}, Seq: [2]SeqAdj{{1, 2, 3}, {}}}
	u.SetLabel(StateControl|stateTwo, [2]Flight{{1, 2, 3}, {4, 5, 6}})
	b := AppendUpdate(nil, orig, u, 1001)
	b = AppendUpdate(b, orig.Reverse(), u, 1002) // there is no such entry
	b = AppendExpectTimeout(b, longer, 1003)
	last := encoder{b: b}
	last.add(subsysConntrack|msgGet, unix.NLM_F_REQUEST, 1004, unix.AF_INET)
	last.key(orig)
	refused := sendRaw(t, c, last.finish(), 1004)
	if len(refused) != 1 || !errors.Is(UpdateError(refused[1002]), ErrNotFound) {
		t.Errorf("refused: %v", refused)
	}
	if f = flow(t, c, client, peer); f.State != u.State || f.Flight != u.Flight || f.Seq != u.Seq {
		t.Errorf("%+v", f)
	}
	if all, err := c.Expectations(); err != nil || len(all) != 1 || all[0].Timeout < 80*time.Second {
		t.Errorf("%+v, %v", all, err)
	}
	end := encoder{b: AppendWithdraw(nil, e, 1005)}
	end.add(subsysConntrack|msgGet, unix.NLM_F_REQUEST, 1006, unix.AF_INET)
	end.key(orig)
	if refused := sendRaw(t, c, end.finish(), 1006); len(refused) != 0 {
		t.Errorf("refused: %v", refused)
	}
	if all, err := c.Expectations(); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestAppendWritesNothingThatTheKernelWouldMisread(t *testing.T) {
	dst := []byte{1, 2, 3, 4}
	u := Update{StateMask: 1}
	for name, got := range map[string][]byte{
		"two IP versions":  AppendUpdate(dst, Tuple{Src: client4, Dst: server6}, u, 1),
		"no change":        AppendUpdate(dst, Tuple{Src: client4, Dst: server4}, Update{}, 1),
		"withdraw, no ID":  AppendWithdraw(dst, Expectation{Src: client4.Addr(), Dst: server4}, 1),
		"timeout, no host": AppendExpectTimeout(dst, Expectation{Src: client4.Addr(), Dst: server4}, 1),
	} {
		if !slices.Equal(got, dst) {
			t.Errorf("%s: %x", name, got)
		}
	}
}

func TestUpdateMendsALabelThatWasWiped(t *testing.T) {
	r, c := gateway(t)
	for _, layout := range []Layout{0, 1, DefaultLayout} {
		if err := c.SetLayout(layout); err != nil {
			t.Fatal(err)
		}
		client, peer := open(t, r, netnstest.Server)
		orig := tuples(t, client, peer)[Original]
		wipe := c.start(subsysConntrack|msgNew, 0, unix.AF_INET)
		wipe.tuple(ctaTupleOrig, orig)
		wipe.bytes(ctaLabels, []byte("################"))
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		var u Update
		u.SetLabel(StateControl|stateThree, [2]Flight{{1, 2, 3}, {4, 5, 6}})
		if err := c.Update(orig, u); err != nil {
			t.Fatal(err)
		}
		var e Entry
		err := c.Entry(orig, &e)
		if err != nil || e.State != u.State || e.Flight != u.Flight {
			t.Errorf("layout %d: %+v, %v", layout, e, err)
		}
		if rest := string(e.Label[:layout]) + string(e.Label[layout+14:]); rest != "##" {
			t.Errorf("layout %d: what is not ours was changed: %x", layout, e.Label)
		}
	}
	if err := c.SetLayout(3); err == nil {
		t.Error("a layout beyond the label was taken")
	}
}

func TestUpdateRenewsTheTimeout(t *testing.T) {
	r, c := gateway(t)
	client, peer := open(t, r, netnstest.Server)
	orig := tuples(t, client, peer)[Original]
	if err := c.Update(orig, Update{Timeout: 77 * time.Second}); err != nil {
		t.Fatal(err)
	}
	var e Entry
	err := c.Entry(orig, &e)
	if err != nil ||
		e.Timeout > 77*time.Second || e.Timeout < 70*time.Second || e.TCP.State != TCPEstablished {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestEntriesAreChosenByLabelAndHelper(t *testing.T) {
	r, c := gateway(t)
	for _, server := range []string{netnstest.Server, netnstest.Server6} {
		open(t, r, server)
	}
	l := r.Server.Listen(net.JoinHostPort(netnstest.Server, "2021")) // neither label nor helper
	if _, err := r.Client.Dial(nil, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	for f, want := range map[Filter]int{
		{}: 3, {State: StateControl}: 2, {Helper: HelperCarrier}: 2,
		{State: StateControl, Helper: "none"}: 0, {State: StateControl | StateBusy}: 0} {
		n := 0
		if err := c.Entries(f, func(*Entry) { n++ }); err != nil || n != want {
			t.Errorf("%+v: %d, want %d; %v", f, n, want, err)
		}
	}
}
