package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/ftpalg/ftpalg/conntrack"
	"github.com/ftpalg/ftpalg/test/ftptest"
)

// controlPatience is how long a client waits for a reply: longer than anything that is done to the gateways.
const controlPatience = 45 * time.Second

// thinks is how long clients pause at most, so that there are many of them and not only few fast ones.
const thinks = 400 * time.Millisecond

// visitor is a client that comes again and again.
type visitor struct {
	w    *world
	n    int
	side *side
	rng  *rand.Rand

	*ftptest.Client
	tape *tape
}

// run visits the server until the world is over.
func (v *visitor) run() {
	for i := 0; !v.w.over(); i++ {
		v.visit(fmt.Sprintf("v%d.%d", v.n, i))
	}
}

// ways are those in which commands are written.
var ways = []ftptest.Wire{{}, {}, {}, {Chunk: 1}, {Chunk: 1, Pause: time.Millisecond}, {Split: []int{3, 12}},
	{Chunk: 7, Nagle: true}}

// visit is one session.
func (v *visitor) visit(user string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := v.begin(ctx, user); err != nil {
		v.w.tally.add("session not begun")
		v.pause(time.Second)
		return
	}
	defer v.Close()
	v.Wire = ways[v.rng.IntN(len(ways))]
	defer v.w.book.leave(v.tape)
	v.w.tally.add("session")
	if err := v.Login(user, "p"); err != nil {
		v.failed(err)
		return
	}
	for n := 1 + v.rng.IntN(25); n > 0 && !v.w.over(); n-- {
		if !v.something() {
			return
		}
		v.pause(time.Duration(v.rng.Int64N(int64(thinks))))
	}
	if r, err := v.Cmd("QUIT"); err != nil || r.Code != 221 {
		v.failed(err)
		return
	}
	v.tape.done = true
}

// begin connects, and enters the session in the book.
func (v *visitor) begin(ctx context.Context, user string) (err error) {
	v.tape = &tape{user: user, side: v.side, begun: time.Now()}
	from := network{v.side.client(v.w), v.tape}
	if v.Client, err = ftptest.Dial(ctx, from, netip.MustParseAddrPort(v.side.dial)); err != nil {
		return err
	}
	v.Timeout = controlPatience
	v.tape.original = conntrack.Tuple{Src: v.Local(), Dst: v.Remote()}
	v.w.book.add(v.tape)
	return nil
}

// calm is a session in which all must be well.
func (v *visitor) calm(user string, m ftptest.Mode) {
	err := v.begin(v.w.ctx, user)
	if err == nil {
		defer v.Close()
		err = v.Login(user, "p")
	}
	var t ftptest.Transfer
	if err == nil {
		t, err = v.Get(m, "small")
	}
	if want, _ := v.side.server.File("small"); err != nil || !bytes.Equal(t.Data, want) {
		v.w.t.Errorf("after all, %s by %s fails: %v", v.side.name, m, err)
	}
}

func (v *visitor) pause(d time.Duration) {
	select {
	case <-v.w.ended:
	case <-time.After(d):
	}
}

// something does one thing, and tells whether the session goes on.
func (v *visitor) something() bool {
	modes := v.side.modes()
	m := modes[v.rng.IntN(len(modes))]
	v.tape.slow = false
	switch n := v.rng.IntN(20); {
	case n < 6:
		return v.get(m, "small")
	case n < 9:
		return v.get(m, "big")
	case n < 11:
		v.tape.slow = true
		return v.get(m, "big")
	case n < 13:
		return v.put(m)
	case n < 14:
		t, err := v.List(m)
		return v.judge(err, strings.Contains(string(t.Data), "small\r\n"), "LIST", &t)
	case n < 15 && v.side.inside:
		return v.hostile()
	case n < 17:
		v.pause(time.Duration(v.rng.IntN(2000)) * time.Millisecond)
		return true
	}
	r, err := v.Cmd("NOOP")
	return v.judge(err, r.OK(), "NOOP", nil)
}

func (v *visitor) get(m ftptest.Mode, file string) bool {
	t, err := v.Get(m, file)
	want, _ := v.side.server.File(file)
	return v.judge(err, bytes.Equal(t.Data, want), fmt.Sprintf("%s RETR %s", m, file), &t)
}

func (v *visitor) put(m ftptest.Mode) bool {
	name := fmt.Sprintf("up%d", v.n)
	data := ftptest.Random(1+v.rng.IntN(200_000), v.rng.Uint64())
	t, err := v.Put(m, name, data)
	got, _ := v.side.server.File(name)
	return v.judge(err, bytes.Equal(got, data), fmt.Sprintf("%s STOR %s", m, name), &t)
}

// hostile asks for what nobody may have.
func (v *visitor) hostile() bool {
	own := v.Local().Addr()
	other := own.Next() // of the same network
	told := []netip.AddrPort{netip.AddrPortFrom(own, 22), netip.AddrPortFrom(other, 5000)}[v.rng.IntN(2)]
	r, err := v.Cmd("EPRT " + ftptest.FormatExtended(told))
	if err == nil && r.OK() {
		v.w.t.Errorf("%s: EPRT to %s is answered by %s", v.tape.user, told, r)
	}
	if err == nil {
		v.w.tally.add("hostile EPRT refused")
	}
	return v.judge(err, true, "hostile EPRT", nil)
}

// judge counts what came of something, and tells whether the session goes on. Without an error it must have
// come out right.
func (v *visitor) judge(err error, right bool, what string, t *ftptest.Transfer) bool {
	var negative *ftptest.ReplyError
	switch {
	case err == nil && !right:
		v.w.t.Errorf("%s: %s came out wrong, and the client was not told", v.tape.user, what)
		return true
	case err == nil && t != nil:
		v.w.tally.add("file whole")
		return true
	case err == nil:
		return true
	}
	quiet := v.w.chaos.quietSince(v.tape.begun) && !v.tape.wiped.Load()
	switch {
	case !quiet, strings.HasPrefix(what, "hostile"):
	case v.w.paired:
		// What conntrackd had not sent when the gateways changed places is not known on the other.
		v.w.tally.add("failed though nothing was done to the session")
	default:
		v.w.t.Errorf("%s %v: %s failed and nothing was done to it: %v\n%s", v.tape.user, v.tape.original,
			what, err, v.w.chaos.around(time.Now()))
	}
	switch {
	case errors.As(err, &negative):
		v.w.tally.add(fmt.Sprintf("told by %d", negative.Reply.Code))
		return true
	}
	if !v.failed(err) {
		return false
	}
	v.w.tally.add("told by no data connection")
	return true
}

// failed looks, after an error, whether the control connection goes on.
func (v *visitor) failed(err error) bool {
	again := v.Write([]byte("NOOP\r\n"))
	for again == nil {
		var r ftptest.Reply
		if r, again = v.ReadReply(); again == nil && strings.HasPrefix(r.Raw, "200 NOOP") {
			return true
		}
	}
	if errors.Is(again, os.ErrDeadlineExceeded) {
		v.hangs(err)
		return false
	}
	v.w.tally.add("session reset")
	v.w.chaos.tell("%s %v is lost: %v, then %v", v.tape.user, v.tape.original, err, again)
	return false
}

// hangs tells of a control connection on which nothing comes.
func (v *visitor) hangs(err error) {
	began := time.Now().Add(-controlPatience)
	var flows []conntrack.Flow
	for _, g := range v.w.gateways {
		_ = g.Do(func() error {
			c, err := conntrack.Dial()
			if err != nil {
				return err
			}
			defer c.Close()
			f, err := c.Flow(v.tape.original)
			flows = append(flows, f)
			return err
		})
	}
	v.w.tally.add("HANG")
	r, last := v.ReadReply()
	v.w.t.Errorf("%s %v (%s) hangs: %v; after %v %v, %v; %+v\n%s", v.tape.user, v.tape.original,
		v.side.name, err, time.Since(began), r, last, flows, v.w.chaos.around(began))
}
