package ftptest

import (
	"fmt"
	"strconv"
	"strings"
)

// Reply is a reply of the server, which may have several lines.
type Reply struct {
	Code int
	Raw  string // as received, with line ends
}

// String returns the reply without its last line end.
func (r Reply) String() string { return strings.TrimRight(r.Raw, "\r\n") }

// OK tells whether the reply is positive.
func (r Reply) OK() bool { return r.Code >= 100 && r.Code < 400 }

// Err returns nil for a positive reply.
func (r Reply) Err() error {
	if r.OK() {
		return nil
	}
	return &ReplyError{r}
}

// ReplyError is a negative reply.
type ReplyError struct{ Reply Reply }

func (e *ReplyError) Error() string { return "the server replied: " + e.Reply.String() }

func replyCode(line string) (int, error) {
	if len(line) < 4 {
		return 0, fmt.Errorf("%q is not a reply", line)
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil || code < 100 || !strings.ContainsRune(" -\r\n", rune(line[3])) {
		return 0, fmt.Errorf("%q is not a reply", line)
	}
	return code, nil
}
