package ruleset

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ftpalg/ftpalg/conntrack/internal/netnstest"
)

// A machine may be so busy that the time is over when the request has been sent.
func TestAnswerThatIsThereIsTakenHoweverLateItIs(t *testing.T) {
	netnstest.New(t).Do(func() {
		s, err := openSocket(0)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = s.close() }()
		const seq = 7
		ask := appendMessage(nil, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN,
			unix.NLM_F_REQUEST|unix.NLM_F_ACK, seq, 0, nil)
		if _, err := s.file.Write(ask); err != nil {
			t.Error(err)
			return
		}
		if err := s.file.SetDeadline(time.Now().Add(-time.Second)); err != nil {
			t.Error(err)
			return
		}
		answered := false
		err = s.receive(func(m message) { answered = answered || m.seq == seq })
		if err != nil || !answered {
			t.Errorf("answered is %v, %v", answered, err)
		}
	})
}
