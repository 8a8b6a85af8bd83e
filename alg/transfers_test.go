package alg

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/fate"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/conntrack"
)

// logging is a talk whose transfers are told.
type logging struct {
	*watched
	told []*Transfer
}

func newLogging(t testing.TB, names Names) *logging {
	w := &logging{watched: newWatched(t)}
	w.g.Names = names
	w.g.OnTransfer = func(x *Transfer) { w.told = append(w.told, x) }
	return w
}

func (w *logging) say(segments ...string) { w.segments(segments...) }

// want checks what was told: command, argument, directory, code and text, outcome.
func (w *logging) want(want ...string) {
	w.t.Helper()
	var have []string
	for _, x := range w.told {
		data := "-"
		if x.Data != nil {
			data = x.Data.Outcome.String()
		}
		have = append(have, fmt.Sprintf("%s %s %s %d %s %s",
			x.Command, x.Argument, x.Directory, x.Code, x.Text, data))
	}
	if fmt.Sprint(have) != fmt.Sprint(want) {
		w.t.Errorf("told is %q, want %q", have, want)
	}
	if w.g.transfers.n != 0 {
		w.t.Errorf("%d are kept", w.g.transfers.n)
	}
}

var all = Names{Users: true, Files: true}

func TestTransferIsToldWithItsReplyAndItsDataConnection(t *testing.T) {
	w := newLogging(t, all)
	x, data := w.open()
	w.entries[data] = counted(conntrack.Counter{Bytes: 700}, conntrack.Counter{Bytes: 52})
	w.say("c>retr  a file \r\n", "s>150 here it comes\r\n")
	w.starts(w.now, data, x.Master)
	w.is(data, conntrack.TCPEstablished)
	w.now = w.now.Add(3 * time.Second)
	w.say("s>226 done\x1b\r\n")
	w.later(time.Second)
	if len(w.told) != 0 {
		t.Error("it is told before the data connection has ended")
	}
	w.is(data, conntrack.TCPTimeWait)
	w.want("RETR a file  226 done\x1b used")
	if x := w.told[0]; x.Data.FromServer.Bytes != 700 || x.Took < 3*time.Second || x.Client != clientIn {
		t.Errorf("%+v, %+v", x, x.Data)
	}
}

// The program may end, or another take its place, before the next tick.
func TestTransferThatEndedJustNowIsToldWholeAtTheEnd(t *testing.T) {
	w := newLogging(t, all)
	x, data := w.open()
	w.say("c>RETR f\r\n", "s>150 here it comes\r\n")
	w.starts(w.now, data, x.Master)
	w.entries[data] = conntrack.Entry{TCP: conntrack.TCP{State: done}}
	w.say("s>226 done\r\n")
	w.g.EndTransfers(w.now)
	w.watched.want(fate.Used)
	w.want("RETR f  226 done used")
}

func TestTransferWithoutDataConnectionIsTold(t *testing.T) {
	w := newLogging(t, all)
	w.say("c>RETR a\r\n", "s>425 no data connection\r\n")
	w.later(time.Second)
	w.want("RETR a  425 no data connection -")
}

func TestDataConnectionIsThatOfOneTransfer(t *testing.T) {
	w := newLogging(t, all)
	w.open()
	w.say("c>RETR a\r\n", "s>550 no\r\n", "c>RETR b\r\n", "s>425 no\r\n")
	w.later(2 * settleTime)
	w.later(2 * settleTime)
	w.want("RETR a  550 no withdrawn", "RETR b  425 no -")
}

func TestPipelinedTransfersHaveTheirOwnReplies(t *testing.T) {
	w := newLogging(t, all)
	w.say("c>RETR a\r\nRETR b\r\nNOOP\r\nLIST\r\n", "s>550 first\r\n551 second\r\n200 ok\r\n450 third\r\n")
	w.later(time.Second)
	w.want("RETR a  550 first -", "RETR b  551 second -", "LIST   450 third -")
}

func TestMoreTransfersThanAreKeptAreCountedAndTheNextOnesAreRight(t *testing.T) {
	w := newLogging(t, all)
	const n = maxPipelined + 3
	w.say("c>" + strings.Repeat("LIST\r\n", n))
	w.say("s>" + strings.Repeat("450 no\r\n", n))
	w.say("c>RETR next\r\n", "s>550 gone\r\n")
	w.later(time.Second)
	if len(w.told) != maxPipelined+1 || w.told[maxPipelined].Text != "gone" {
		t.Errorf("%d are told, the last is %+v", len(w.told), w.told[len(w.told)-1])
	}
	if lost := w.g.Stats.Unlogged.Load(); lost != 3 {
		t.Errorf("%d are counted as not kept", lost)
	}
}

func TestTransferOfASessionThatEndsIsToldWithoutAReply(t *testing.T) {
	w := newLogging(t, all)
	x, _ := w.open()
	w.say("c>STOR up\r\n", "s>150 go\r\n")
	w.g.Destroyed(x.Master, 0)
	w.later(2 * settleTime)
	w.later(2 * settleTime)
	w.want("STOR up  0  withdrawn")
}

func TestTransfersUnderWayAreToldAtTheEndOfTheProgram(t *testing.T) {
	w := newLogging(t, all)
	w.open()
	w.say("c>STOR up\r\n", "s>150 go\r\n")
	w.g.EndTransfers(w.now)
	w.want("STOR up  0  " + fate.Unknown.String())
}

func TestRefusedTransferIsToldWithTheReason(t *testing.T) {
	p := policy.Default()
	p.Strict.ReadOnly = true
	w := newLogging(t, all)
	w.g.SetPolicy(p)
	w.say("c>STOR a\r\n", "s>500 what?\r\n", "c>RETR a\r\n", "s>550 no\r\n")
	w.later(time.Second)
	w.want("STOR a  0  -", "RETR a  550 no -")
	if w.told[0].Refused != policy.ReadOnly {
		t.Errorf("it was refused for %v", w.told[0].Refused)
	}
}

func TestNamesAreLeftOutOfTransfers(t *testing.T) {
	for _, names := range []Names{{}, {Users: true}, {Files: true}} {
		w := newLogging(t, names)
		w.say("c>USER secretuser\r\n", "s>331 secretuser?\r\n")
		w.say("c>PASS secretpass\r\n", "s>230 hi secretuser\r\n")
		w.say("c>CWD /secretfile\r\n", "s>250 ok\r\n")
		w.say("c>RETR secretfile\r\n", "s>550 secretfile of secretuser?\r\n")
		w.later(time.Second)
		told := fmt.Sprintf("%+v", w.told[0])
		for what, kept := range map[string]bool{
			"secretpass": false, "secretuser": names.Users, "secretfile": names.Files,
		} {
			if strings.Contains(told, what) != kept {
				t.Errorf("with %+v told is %s", names, told)
			}
		}
	}
}

func TestWorkingDirectoryIsTheOneThatRepliesTell(t *testing.T) {
	const pwd = "c>PWD\r\n|s>257 \"/home/a \"\"b\"\"\" is it\r\n"
	for _, c := range []struct{ talk, want string }{
		{"", ""},
		{pwd, `/home/a "b"`},
		{"c>CWD /x/../y\r\n|s>250 ok\r\n", "/y"},
		{"c>CWD y\r\n|s>250 ok\r\n", ""},
		{pwd + "|c>CWD y\r\n|s>250 ok\r\n", `/home/a "b"/y`},
		{pwd + "|c>CWD y\r\n|s>550 no\r\n", `/home/a "b"`},
		{pwd + "|c>XCUP\r\n|s>200 ok\r\n", "/home"},
		{pwd + "|c>CWD ~joe\r\n|s>250 ok\r\n", ""},
		{pwd + "|c>USER b\r\n|s>331 x\r\n", ""},
		{"c>MKD /new\r\n|s>257 \"/new\" created\r\n", ""},
		{pwd + "|c>NOOP\r\nCWD /y\r\n|s>200 ok\r\n550 no\r\n", ""},
		{pwd + "|c>CWD /y\r\nNOOP\r\n|s>550 no\r\n200 ok\r\n", ""},
		{pwd + "|c>NOOP\r\nPWD\r\n|s>200 ok\r\n257 \"/z\"\r\n", `/home/a "b"`},
		{"c>PWD\r\n|s>257 \"/never ends\r\n", ""},
		{"c>CWD /" + strings.Repeat("x", maxKept) + "\r\n|s>250 ok\r\n", ""},
	} {
		w := newLogging(t, all)
		if c.talk != "" {
			w.say(strings.Split(c.talk, "|")...)
		}
		w.say("c>LIST\r\n", "s>425 no\r\n")
		w.later(time.Second)
		if got := w.told[0].Directory; got != c.want {
			t.Errorf("after %q it is %q, want %q", c.talk, got, c.want)
		}
	}
}
