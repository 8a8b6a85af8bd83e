package rewrite

import "testing"

func TestEndlessDeletionIsOneSpan(t *testing.T) {
	for _, first := range []string{"", "abc"} {
		var s Stream
		s.Start(1000, 0)
		s.Append([]byte(first), nil)
		s.Acked(s.FinalEdge())
		for range 10000 {
			s.Append([]byte("x"), []Edit{{At: 0, Del: 1}})
			s.Acked(s.FinalEdge())
		}
		if n := len(s.spans(new([1]span))); n > 2 {
			t.Errorf("behind %q there are %d spans", first, n)
		}
		if got, want := s.Original(s.FinalEdge()), uint32(1000+len(first)+10000); got != want {
			t.Errorf("behind %q the end is original %d, want %d", first, got, want)
		}
		s.Append([]byte("y"), nil)
		if out, _ := s.Emit(s.Edge()-1, []byte("y")); string(out) != "y" {
			t.Errorf("behind %q y goes out as %q", first, out)
		}
	}
}

func TestSilentStreamRemembersItsLastByteAndNothingElse(t *testing.T) {
	var s Stream
	s.Start(100, 7)
	s.Append([]byte("NOOP\r\n"), nil)
	s.rest()
	if s.past == nil {
		t.Fatal("what is not acknowledged is forgotten")
	}
	s.Acked(113)
	if s.rest(); s.past != nil || s.size() != 0 {
		t.Error("what is acknowledged is kept")
	}
	s.Append([]byte("PORT "), []Edit{{At: 0, Del: 5}})
	if out, at := s.Emit(106, []byte("PORT ")); string(out) != "\n" || at != 112 {
		t.Errorf("in place of what was deleted leaves %q at %d", out, at)
	}
}
