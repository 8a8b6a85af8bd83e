package ftptest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// session is one control connection.
type session struct {
	server *Server
	conn   net.Conn
	ctx    context.Context
	cancel context.CancelFunc

	mu   sync.Mutex // guards seen and writing
	seen Session

	// Only the reader of commands uses these.
	user     string
	loggedIn bool
	epsvAll  bool
	rest     int64
	data     opener
	mode     Mode
	transfer *transfer
}

// opener makes the data connection that was agreed on. Its close gives up on
// it.
type opener interface {
	open(ctx context.Context) (net.Conn, error)
	close()
}

func (x *session) snapshot() Session {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := x.seen
	out.Commands = slices.Clone(out.Commands)
	out.Replies = slices.Clone(out.Replies)
	out.Data = slices.Clone(out.Data)
	return out
}

func (x *session) run() {
	defer x.cancel()
	defer x.settle()
	greeting := x.server.Greeting
	if greeting == "" {
		greeting = "FTP server (ftptest) ready."
	}
	x.reply("220 " + greeting)
	r := bufio.NewReader(x.conn)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			x.record(func(s *Session) { s.Commands = append(s.Commands, line) })
		}
		if err != nil || !x.handle(line) {
			return
		}
	}
}

func (x *session) record(f func(*Session)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f(&x.seen)
}

// reply sends a reply; more lines than one are separated by "\n".
func (x *session) reply(text string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := x.server.Wire.end(text)
	x.seen.Replies = append(x.seen.Replies, string(b))
	if err := x.server.Wire.write(x.conn, b); err != nil {
		x.cancel() // the client is gone: the reader ends the session
	}
}

// split returns the verb of a command line in capitals, and its argument.
func split(line string) (verb, arg string) {
	line = strings.TrimRight(line, "\r\n")
	// Telnet's IP and Synch signals come before ABOR.
	line = strings.TrimLeftFunc(line, func(r rune) bool { return r == '\uFFFD' })
	verb, arg, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), arg
}

// handle answers a command. It returns false at the end of the session.
func (x *session) handle(line string) bool {
	verb, arg := split(line)
	if verb == "ABOR" {
		x.abort()
		return true
	}
	x.wait()
	rest := x.rest
	x.rest = 0
	switch verb {
	case "QUIT":
		x.reply("221 Goodbye.")
		return false
	case "USER":
		x.user, x.loggedIn = arg, false
		x.reply("331 Please specify the password.")
	case "PASS":
		x.pass(arg)
	case "AUTH":
		x.reply("502 TLS is not available here.")
	case "FEAT":
		x.reply("211-Features:\n EPRT\n EPSV\n REST STREAM\n SIZE\n211 End")
	case "SYST":
		x.reply("215 UNIX Type: L8")
	case "NOOP":
		x.reply("200 NOOP ok.")
	default:
		if !x.loggedIn {
			x.reply("530 Please login with USER and PASS.")
			return true
		}
		x.handleUser(verb, arg, rest)
	}
	return true
}

func (x *session) pass(password string) {
	s := x.server
	x.loggedIn = x.user != "" && (s.User == "" || s.User == x.user) &&
		(s.Password == "" || s.Password == password)
	if !x.loggedIn {
		x.reply("530 Login incorrect.")
		return
	}
	x.record(func(seen *Session) { seen.User = x.user })
	x.reply("230 Login successful.")
}

// handleUser answers a command of a user who is logged in.
func (x *session) handleUser(verb, arg string, rest int64) {
	switch verb {
	case "TYPE", "MODE", "STRU":
		x.reply("200 " + verb + " set.")
	case "PWD":
		x.reply(`257 "/" is the current directory`)
	case "CWD":
		x.reply("250 Directory changed.")
	case "SIZE":
		x.size(arg)
	case "REST":
		x.restart(arg)
	case "PORT", "EPRT":
		x.active(Mode(verb), arg)
	case "PASV":
		x.pasv()
	case "EPSV":
		x.epsv(arg)
	case "LIST", "NLST", "RETR", "STOR", "APPE":
		x.begin(verb, arg, rest)
	default:
		x.reply("500 Unknown command.")
	}
}

func (x *session) size(name string) {
	data, ok := x.server.File(name)
	if !ok {
		x.reply("550 Could not get file size.")
		return
	}
	x.reply("213 " + strconv.Itoa(len(data)))
}

func (x *session) restart(arg string) {
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || n < 0 {
		x.reply("501 REST wants a number.")
		return
	}
	x.rest = n
	x.reply(fmt.Sprintf("350 Restart position accepted (%d).", n))
}

// agree replaces the data connection that was agreed on, if any.
func (x *session) agree(mode Mode, o opener) {
	x.settle()
	x.mode, x.data = mode, o
}

// settle forgets the data connection that was agreed on.
func (x *session) settle() {
	x.wait()
	if x.data != nil {
		x.data.close()
		x.data = nil
	}
}

var errForeign = errors.New("the address is not that of the control connection")

// active answers PORT and EPRT.
func (x *session) active(mode Mode, arg string) {
	if x.epsvAll {
		x.reply("501 " + string(mode) + " is not allowed after EPSV ALL.")
		return
	}
	parse := ParsePort
	if mode == EPRT {
		parse = ParseExtended
	}
	to, err := parse(arg)
	switch {
	case err != nil:
		x.reply("501 Illegal " + string(mode) + " command: " + err.Error())
		return
	case to.Addr().Is4() != x.seen.Local.Addr().Is4():
		x.reply("522 Network protocol not supported.")
		return
	case x.server.CheckAddress && to.Addr() != x.seen.Remote.Addr():
		x.reply("500 Illegal " + string(mode) + " command: " + errForeign.Error())
		return
	}
	x.agree(mode, &dialer{x, to})
	x.reply("200 " + string(mode) + " command successful.")
}

func (x *session) pasv() {
	switch {
	case x.epsvAll:
		x.reply("501 PASV is not allowed after EPSV ALL.")
		return
	case x.seen.Local.Addr().Is6():
		x.reply("425 PASV is for IPv4: use EPSV.")
		return
	}
	if at, ok := x.listen(PASV); ok {
		if a := x.server.Advertise; a.IsValid() {
			at = netip.AddrPortFrom(a, at.Port())
		}
		x.reply(orDefault(x.server.Format227, Format227)(at))
	}
}

func (x *session) epsv(arg string) {
	own := "1"
	if x.seen.Local.Addr().Is6() {
		own = "2"
	}
	switch strings.ToUpper(arg) {
	case "ALL":
		x.epsvAll = true
		x.reply("200 EPSV ALL ok.")
	case "", own:
		if at, ok := x.listen(EPSV); ok {
			x.reply(orDefault(x.server.Format229, Format229)(at))
		}
	default:
		x.reply("522 Network protocol not supported, use (" + own + ")")
	}
}

func orDefault[T any](f, other func(T) string) func(T) string {
	if f == nil {
		return other
	}
	return f
}

// listen agrees on a passive data connection, or answers that it cannot.
func (x *session) listen(mode Mode) (netip.AddrPort, bool) {
	x.settle() // its port may be the one to listen on
	at := netip.AddrPortFrom(x.seen.Local.Addr(), x.server.PassivePort)
	l, err := networkOf(x.server.Network).Listen("tcp", at.String())
	if err != nil {
		x.reply("425 Cannot listen: " + err.Error())
		return netip.AddrPort{}, false
	}
	x.agree(mode, &acceptor{x, l})
	return addrPort(l.Addr()), true
}
