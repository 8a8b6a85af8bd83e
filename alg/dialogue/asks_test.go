package dialogue

import (
	"strings"
	"testing"

	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
)

func TestAnyNumberOfPipelinedCommandsStaysInStep(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 10000, 100000} {
		l := newLab(t, dnat, policy.Default()).login()
		l.c2s(strings.Repeat("NOOP\r\n", n) + "PASV\r\n")
		l.s2c(strings.Repeat("200 ok\r\n", n))
		l.wantArrived("227", l.s2c("227 (10,0,1,66,39,136)\r\n"), "227 (198,51,100,1,39,136)\r\n")
		if !l.d.asks.empty() {
			t.Errorf("behind %d commands %v wait still", n, l.d.asks.waits())
		}
	}
}

func TestRunsBeyondTheBoundAreRefusedVisiblyAndStayInStep(t *testing.T) {
	for _, bytewise := range []bool{false, true} {
		l := newLab(t, dnat, policy.Default()).login()
		refused := 0
		for range maxRuns { // two runs each
			text, got := "PASV\r\nNOOP\r\n", ""
			if got = l.c2s(text); bytewise {
				got = l.c2s("PA") + l.c2s("SV\r\nNOOP\r\n")
			}
			if got != text {
				refused++
			}
		}
		if refused == 0 || len(l.said) < refused {
			t.Fatalf("%d are refused, told of %d", refused, len(l.said))
		}
		for _, why := range l.said {
			if why != policy.PipelineLimit {
				t.Fatalf("refused because of %v", why)
			}
		}
		if n := len(l.d.asks.waits()); n > maxRuns {
			t.Errorf("%d runs are kept", n)
		}
		for !l.d.asks.empty() {
			l.s2c("500 what\r\n")
		}
		if l.d.asks.in != l.d.asks.out || l.d.asks.runs != nil {
			t.Errorf("of %d commands %d are answered, %v are kept", l.d.asks.in, l.d.asks.out,
				l.d.asks.waits())
		}
		l.talk("c>PASV\r\n", "s>227 (10,0,1,66,39,136)\r\n")
		l.wantOpen("10.0.13.222>198.51.100.1:10120=10.0.1.66:10120")
	}
}

func TestPassiveReplyBringsBackIntoStep(t *testing.T) {
	var w asks
	for _, v := range []ftp.Verb{ftp.Other, ftp.Other, ftp.EPSV, ftp.EPSV, ftp.Transfer} {
		w.push(v)
	}
	if !w.popPassive() || w.out != 3 || w.next() != ftp.EPSV {
		t.Errorf("%+v", w)
	}
	if !w.popPassive() || w.popPassive() || w.pop() != ftp.Transfer || w.pop() != ftp.None || w.in != w.out {
		t.Errorf("%+v", w)
	}
}

// What an answered command opened is not shut by the reply to one from before it.
func TestReplyToAnEarlierCommandLeavesTheDoorAlone(t *testing.T) {
	l := newLab(t, routed, policy.Default()).login()
	l.c2s("RETR a\r\nPORT 10,0,13,222,39,136\r\n")
	l.s2c("425 no\r\n200 ok\r\n")
	l.wantOpen("10.0.1.66>10.0.13.222:10120=10.0.13.222:10120")
	l.talk("c>RETR a\r\n", "s>150 x\r\n226 y\r\n")
	if l.wantOpen(""); l.shut[len(l.shut)-1] != policy.Used {
		t.Errorf("shut because of %v", l.shut)
	}
}
