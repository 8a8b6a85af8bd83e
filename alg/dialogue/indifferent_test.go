package dialogue

import (
	"testing"

	"github.com/ftpalg/ftpalg/alg/policy"
)

func TestWhatIsReadWithoutAnEdit(t *testing.T) {
	strict, noTLS, mask := policy.Default(), policy.Default(), policy.Default()
	strict.Strict.Deny = []string{"DELE"}
	noTLS.TLS = policy.TLSDeny
	mask.Strict.MaskSYST = true
	for _, c := range []struct {
		name   string
		from   Side
		text   string
		policy policy.Policy
		memory Memory
		want   bool
	}{
		{"nothing", Client, "", policy.Default(), 0, true},
		{"a command", Client, "NOOP\r\n", policy.Default(), 0, true},
		{"commands", Client, "TYPE I\r\nPASV\r\nRETR x\r\n", policy.Default(), 0, true},
		{"a part of a command", Client, "TYPE", policy.Default(), 0, false},
		{"a command and a part", Client, "TYPE I\r\nPA", policy.Default(), 0, false},
		{"what begins in the middle", Client, ",39,136\r\n", policy.Default(), 0, false},
		{"PORT", Client, "PORT 10,0,13,222,39,136\r\n", policy.Default(), 0, false},
		{"EPRT behind another", Client, "NOOP\r\neprt |1|10.0.13.222|10120|\r\n", policy.Default(), 0, false},
		{"another protocol", Client, "GET / HTTP/1.1\r\n", policy.Default(), 0, false},
		{"PASV after EPSV ALL", Client, "PASV\r\n", policy.Default(), EPSVAll, false},
		{"AUTH", Client, "AUTH TLS\r\n", policy.Default(), 0, true},
		{"AUTH that is denied", Client, "AUTH TLS\r\n", noTLS, 0, false},
		{"a strict policy", Client, "NOOP\r\n", strict, 0, false},
		{"in TLS", Client, "NOOP\r\n", policy.Default(), Opaque, false},
		{"another protocol from the beginning", Client, "NOOP\r\n", policy.Default(), NotFTP, false},
		{"a reply", Server, "200 ok\r\n", policy.Default(), 0, true},
		{"a reply of several lines", Server, "211-a\r\n b\r\n211 c\r\n", policy.Default(), 0, true},
		{"227", Server, "227 x (10,0,1,66,39,137)\r\n", policy.Default(), 0, false},
		{"229 behind another", Server, "200 ok\r\n229 x (|||10121|)\r\n", policy.Default(), 0, false},
		{"the first line of 227", Server, "227-x\r\n", policy.Default(), 0, false},
		{"a reply that is masked", Server, "215 UNIX\r\n", mask, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := New(Endpoints{}, &c.policy, c.memory, false)
			if got := d.Indifferent(c.from, []byte(c.text)); got != c.want {
				t.Errorf("%q: %v, want %v", c.text, got, c.want)
			}
		})
	}
}
