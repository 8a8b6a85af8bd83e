package ftptest

import "testing"

func TestFileIsTheOneThatWasStoredInTheLastTurn(t *testing.T) {
	var s Server
	first, second := s.turn(), s.turn()
	s.store("a", []byte("second"), second)
	s.store("a", []byte("first"), first)
	if got, _ := s.File("a"); string(got) != "second" {
		t.Errorf("it is the %s", got)
	}
}
