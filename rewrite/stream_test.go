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
		if len(s.spans) > 2 {
			t.Errorf("behind %q there are %d spans", first, len(s.spans))
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
