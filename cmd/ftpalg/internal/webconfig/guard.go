package webconfig

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
)

// maxKnown is how many passwords that were right are remembered.
const maxKnown = 64

// nobody is the hash that is compared with for a name that is not there, so that the time does not tell.
const nobody = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

// Guard is what the file says, for a server.
type Guard struct {
	path string
	now  atomic.Pointer[settings]

	mu    sync.Mutex // of what follows, and so that one password is compared at a time: that takes a while
	known map[[sha256.Size]byte]bool
}

// New reads the file at path; if that is empty everybody is let in, without TLS.
func New(path string) (*Guard, error) {
	g := &Guard{path: path}
	g.now.Store(&settings{})
	return g, g.load(true)
}

// Reload reads the file again. If that fails, the old settings stay; so does whether there is TLS at all.
func (g *Guard) Reload() error { return g.load(false) }

func (g *Guard) load(first bool) error {
	if g.path == "" {
		return nil
	}
	s, err := read(g.path)
	if err != nil {
		return err
	}
	if !first && (s.tls == nil) != (g.now.Load().tls == nil) {
		return errors.New(g.path + ": TLS is turned on and off by a restart alone")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now.Store(s)
	g.known = map[[sha256.Size]byte]bool{}
	return nil
}

// Serve is that of the server, with what the file says, until the server is closed.
func (g *Guard) Serve(server *http.Server, l net.Listener) error {
	inner := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := g.now.Load()
		for name, value := range now.headers {
			if value != "" {
				w.Header().Set(name, value)
			}
		}
		switch {
		case now.rate != nil && !now.rate.Allow(): // before passwords: to compare one takes a while
			http.Error(w, "too many requests", http.StatusTooManyRequests)
		case len(now.users) > 0 && !g.admits(now.users, r):
			w.Header().Set("WWW-Authenticate", `Basic realm="ftpalg"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
		default:
			inner.ServeHTTP(w, r)
		}
	})
	if g.now.Load().tls == nil {
		return server.Serve(l)
	}
	server.TLSConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12, // of a client before its hello: the file says the rest
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return g.now.Load().tls, nil },
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &g.now.Load().tls.Certificates[0], nil
		},
	}
	server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // no HTTP/2
	return server.ServeTLS(l, "", "")
}

// admits tells whether a request has the name and password of one of the users.
func (g *Guard) admits(users map[string]string, r *http.Request) bool {
	name, password, ok := r.BasicAuth()
	if !ok {
		return false
	}
	hash, exists := users[name]
	if !exists {
		hash = nobody
	}
	key := sha256.Sum256([]byte(hash + "\x00" + password))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.known[key] {
		return exists
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil || !exists {
		return false
	}
	if len(g.known) >= maxKnown {
		clear(g.known)
	}
	g.known[key] = true
	return true
}
