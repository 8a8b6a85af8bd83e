package alg_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/sim"
)

const (
	toServer = conntrack.Original
	toClient = conntrack.Reply
)

// flow is the entry of a control connection.
func flow(client, dialled, server, outside string) conntrack.Flow {
	c, d := netip.MustParseAddrPort(client), netip.MustParseAddrPort(dialled)
	s, o := netip.MustParseAddrPort(server), netip.MustParseAddrPort(outside)
	return conntrack.Flow{
		ID: 1, Tuple: [2]conntrack.Tuple{{Src: c, Dst: d}, {Src: s, Dst: o}}, SNAT: c != o, DNAT: d != s,
		Helper: conntrack.HelperCarrier, HasSeq: c != o || d != s,
		HasState: true, State: conntrack.StateControl,
	}
}

// translations make lines longer, shorter, or neither.
func translations() []conntrack.Flow {
	return []conntrack.Flow{
		flow("10.0.13.222:40000", "10.0.1.66:21", "10.0.1.66:21", "203.0.113.77:40000"),
		flow("10.0.13.222:40000", "198.51.100.1:21", "10.0.1.66:21", "203.0.113.177:40000"),
		flow("192.168.113.222:40000", "10.0.1.66:21", "10.0.1.66:21", "9.9.9.9:40000"),
		flow("192.168.113.222:40000", "9.9.9.8:21", "10.0.1.66:21", "9.9.9.9:40000"),
		flow("10.0.13.222:40000", "198.51.100.1:21", "10.0.1.66:21", "10.0.13.222:40000"),
	}
}

// gateway is a Gateway as the world runs it.
type gateway struct {
	*alg.Gateway
	kernel *sim.Kernel
	now    *time.Time
}

func (g gateway) Handle(now time.Time, id, entry uint32, packet []byte) (sim.Verdict, []byte) {
	*g.now = now
	v, out := g.HandleFrom(alg.Origin{Entry: entry}, now, id, packet)
	return map[alg.Verdict]sim.Verdict{
		alg.Accept: sim.Accept, alg.Rewrite: sim.Rewrite, alg.Hold: sim.Hold, alg.Drop: sim.Drop,
	}[v], out
}

func (g gateway) Next() (sim.Held, bool) {
	h, ok := g.Gateway.Next()
	return sim.Held{Data: h.Data, Drop: h.Drop}, ok
}

// Replicated is what the program does when the kernel tells that another wrote the entry.
func (g gateway) Replicated(now time.Time) {
	g.Gateway.Changed(now, g.kernel.Entry.Tuple[0])
}

// Deleted is what it does when the kernel tells that another deleted the entry of that ID.
func (g gateway) Deleted(now time.Time, id uint32) {
	g.NotAlone()
	g.Gateway.Deleted(now, g.kernel.Entry.Tuple[0], id)
}

// Damaged is what the program does when the rules are there again.
func (g gateway) Damaged(now time.Time) { g.Gateway.Damaged(now) }

// conversation is a logged-in client and its server.
type conversation struct {
	*sim.World
	policy    policy.Policy
	pipelined bool         // the client does not wait for replies
	todo      int          // lines that the client will still send
	waiting   int          // step at which it sent the last
	unsure    bool         // the program does not know all commands that wait for their replies
	plainAsk  map[int]bool // commands whose replies may pass untouched
	told      bool         // the gateways hear what others write
	older     bool         // the session is older than the rules: it may be refused what it asks for
	forgets   bool         // and so where nobody may know any more that it has logged in
}

// schedules runs the schedule of one seed with a trace, or if that is negative those of the seeds below n.
func schedules(t *testing.T, one int64, n int, run func(t testing.TB, seed uint64, trace bool)) {
	if one >= 0 {
		run(t, uint64(one), true)
		return
	}
	for seed := range uint64(n) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { run(t, seed, false) })
	}
}

func newConversation(t testing.TB, seed uint64, gateways int) *conversation {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	flows := translations()
	w := &conversation{
		World: sim.New(t, r, flows[r.IntN(len(flows))], gateways), policy: policy.Default(),
		pipelined: r.IntN(3) > 0, plainAsk: map[int]bool{}, told: seed%2 == 0,
	}
	w.policy.FirstPort, w.policy.LastPort = 40000, 40000
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d: pipelined %v, %v", seed, w.pipelined, w.World)
		}
	})
	w.World.Start, w.World.Act, w.World.Picked = w.start, w.act, w.picked
	w.World.Done = func() bool { return w.todo == 0 && w.End[toClient].Taken == len(w.End[toClient].Got) }
	w.Open()
	w.login()
	w.todo = 1 + r.IntN(14)
	return w
}

func (w *conversation) start(k *sim.Kernel) sim.Program {
	g := alg.New(k, w.policy)
	g.BeginAt(w.Now())
	g.Told = w.told
	g.Adopt(k.Expects)
	if w.Swaps > 0 {
		g.Changed(time.Unix(1e9, 0), conntrack.Tuple{}) // others write entries here
	}
	g.OnKernelError = func(doing string, err error) { w.T.Errorf("%s: %v", doing, err) }
	g.OnRefused = func(r alg.Refusal) { w.Tracef("  refused: %v %q", r.Reason, r.Line) }
	return gateway{g, k, &time.Time{}}
}

func (w *conversation) login() {
	for _, l := range []struct {
		dir  conntrack.Dir
		text string
		ask  int
	}{
		{toClient, "220 ready\r\n", -1},
		{toServer, "USER joe\r\n", -1}, {toClient, "331 password\r\n", 0},
		{toServer, "PASS x\r\n", -1}, {toClient, "230 in\r\n", 1},
	} {
		w.End[l.dir].Say(sim.Line{Text: l.text, Ask: l.ask})
		w.Settle()
	}
	w.End[toClient].Taken = len(w.End[toClient].Got)
}

// picked notes which replies a program that begins now may not know to belong to a passive command: the
// label tells that there is one.
func (w *conversation) picked() {
	if open := w.unanswered(); len(open) > 0 {
		w.forget(open[0] + 1)
		w.plainAsk[open[0]] = w.plainAsk[open[0]] || len(open) > 1
	}
}

// forget lets the replies to commands from i on pass untouched, till none is due any more.
func (w *conversation) forget(i int) {
	w.unsure = true
	for ; i < len(w.End[toServer].Lines); i++ {
		w.plainAsk[i] = true
	}
}

// unanswered returns the commands that were sent and whose replies the server does not know to
// have arrived.
func (w *conversation) unanswered() (open []int) {
	c, s := w.End[toServer], w.End[toClient]
	answered := map[int]bool{}
	for i := range s.Lines {
		if s.Acked(i) {
			answered[s.Lines[i].Ask] = true
		}
	}
	for i := range c.Lines {
		if c.Sent(i) && !answered[i] {
			open = append(open, i)
		}
	}
	return open
}

func (w *conversation) act(dir conntrack.Dir) {
	if dir == toServer {
		w.actClient()
	} else {
		w.actServer()
	}
}

// actClient has the client go on when it may. If a reply never comes it goes on some day.
func (w *conversation) actClient() {
	c := w.End[toServer]
	waits := strings.Count(string(c.Got), "\n")-1 < len(c.Lines) // the greeting answers nothing
	if w.todo > 0 && (w.pipelined || !waits || w.Step-w.waiting > sim.Patience) {
		w.command()
	}
}

// unadopted tells that the entry is older than the rules: nobody sees acknowledgements, so that what is out
// of order is not waited for, and what is asked for may be refused.
func (w *conversation) unadopted() bool { return w.forgets || w.older && !w.Kernel().Adopted() }

// command has the client say something.
func (w *conversation) command() {
	c := w.End[toServer]
	i := len(c.Lines)
	w.todo--
	w.waiting = w.Step
	w.unsure = w.unsure && len(w.unanswered()) > 0 || w.unadopted()
	w.plainAsk[i] = w.unsure
	own := w.Kernel().Entry.Tuple[0].Src.Addr()
	named := netip.AddrPortFrom(own, uint16(10000+i))
	switch w.IntN(7) {
	case 0, 1:
		w.active("PORT %s\r\n", ftp.AppendPort, string(ftp.AppendPort(nil, named)), named)
	case 2:
		b, p := own.As4(), named.Port()
		arg := fmt.Sprintf("%03d,%03d,%03d,%03d,%d,%d", b[0], b[1], b[2], b[3], p>>8, p&0xff)
		w.active("PORT %s\r\n", ftp.AppendPort, arg, named)
	case 3:
		w.active("EPRT %s\r\n", eprt, string(eprt(nil, named)), named)
	default:
		verb := []string{"PASV", "NOOP", "CWD some/where/"}[w.IntN(3)]
		c.Say(sim.Line{Text: fmt.Sprintf("%s %04d\r\n", verb, i), Ask: -1})
	}
}

func eprt(dst []byte, a netip.AddrPort) []byte { return ftp.AppendEPRT(dst, '|', '1', a) }

// active has the client ask for a data connection to named.
func (w *conversation) active(
	format string, write func([]byte, netip.AddrPort) []byte, arg string, named netip.AddrPort,
) {
	l := sim.Line{Text: fmt.Sprintf(format, arg), Ask: -1}
	if outside := w.Kernel().Entry.Tuple[1].Dst.Addr(); outside != named.Addr() {
		for _, p := range []uint16{named.Port(), w.policy.FirstPort} {
			l.Want = append(l.Want, fmt.Sprintf(format, write(nil, netip.AddrPortFrom(outside, p))))
		}
	}
	if w.unadopted() {
		if len(l.Want) == 0 {
			l.Want = []string{l.Text}
		}
		l.Want = append(l.Want, fmt.Sprintf(format, strings.Repeat("x", len(arg))))
		l.Spoil(sim.Plain)
	}
	w.End[toServer].Say(l)
}

// actServer answers the next line.
func (w *conversation) actServer() {
	s, c := w.End[toClient], w.End[toServer]
	n := strings.IndexByte(string(s.Got[s.Taken:]), '\n') + 1
	if n == 0 {
		return
	}
	line := string(s.Got[s.Taken : s.Taken+n])
	s.Taken += n
	i, ask := len(s.Lines), -1
	for j := range c.Lines {
		if c.Lines[j].Arrived(line) == len(line) {
			ask = j
		}
	}
	if ask < 0 || !strings.HasPrefix(line, "PASV") {
		s.Say(sim.Line{Text: fmt.Sprintf("200 %04d ok\r\n", i), Ask: ask})
		return
	}
	f := &w.Kernel().Entry
	passive := func(a netip.Addr, port uint16) string {
		arg := ftp.AppendPort(nil, netip.AddrPortFrom(a, port))
		return fmt.Sprintf("227 Entering Passive Mode (%s).\r\n", arg)
	}
	port, dialled := uint16(20000+i), f.Tuple[0].Dst.Addr()
	l := sim.Line{
		Text: passive(f.Tuple[1].Src.Addr(), port), Ask: ask,
		Want: []string{passive(dialled, port), passive(dialled, w.policy.FirstPort)},
	}
	if w.unadopted() {
		l.Want = append(l.Want, refusals(l.Text)...)
		l.Spoil(sim.Plain)
	}
	s.Say(l)
}

// run goes on until all is said, and looks at what arrived.
func (w *conversation) run() {
	if w.Run(); w.Void {
		return
	}
	w.SpoilNoted()
	c, s := w.End[toServer], w.End[toClient]
	// A line that nobody sent has a reply, and then nobody knows which reply is whose.
	extra := strings.Count(string(s.Got), "\n") > len(c.Lines)
	for i := range s.Lines {
		if l := &s.Lines[i]; l.Ask >= 0 && (extra || w.plainAsk[l.Ask] || c.Lines[l.Ask].Spoilt()) {
			l.Spoil(sim.Plain)
		}
	}
	w.Check(toServer)
	w.Check(toClient)
}
