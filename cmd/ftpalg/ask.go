package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/api"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/config"
)

// exitCode ends the program with this code, and says nothing.
type exitCode int

// Error is for who prints it all the same.
func (e exitCode) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// failure is an error that ends the program with another code than 1.
type failure struct {
	error
	code exitCode
}

// Unwrap returns both.
func (f failure) Unwrap() []error { return []error{f.error, f.code} }

// ofService is where the service has its socket, which may make none in /run itself.
const ofService = "/run/ftpalg/ftpalg.sock"

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// addSocket gives c the flag that names the socket of the running gateway.
func addSocket(c *cobra.Command) func() *api.Client {
	path := config.Default().Socket.Path
	if !exists(path) && exists(ofService) {
		path = ofService
	}
	if p := os.Getenv(config.EnvName("socket.path")); p != "" {
		path = p
	}
	f := c.Flags().String("socket", path,
		"Unix socket of the running gateway ("+config.EnvName("socket.path")+")")
	return func() *api.Client { return api.NewClient(*f) }
}

// addFilter gives c the flags that choose sessions.
func addFilter(c *cobra.Command) func() (api.Filter, error) {
	f := c.Flags()
	client := f.String("client", "", "only clients in this `network`")
	server := f.String("server", "", "only servers in this `network`, as dialled or as they are")
	user := f.String("user", "", "only this user `name`, as it is shown")
	open := f.Bool("open", false, "only with an open port or a data connection")
	return func() (api.Filter, error) {
		r := api.Filter{User: *user, Open: *open}
		var err error
		if r.Client, err = network("--client", *client); err == nil {
			r.Server, err = network("--server", *server)
		}
		return r, err
	}
}

func network(flag, text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	p, err := config.ParseNetwork(text)
	if err != nil {
		return p, fmt.Errorf("%s: %w; allowed: an address, or a network as in 10.0.0.0/8", flag, err)
	}
	return p, nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// shown makes what came by the socket fit for a terminal: it may be anybody's. What the gateway has escaped
// stays as it is.
func shown(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return s
	}
	quoted := strconv.QuoteToASCII(s)
	return quoted[1 : len(quoted)-1]
}

// codeOf is the exit code for an error.
func codeOf(err error) int {
	var code exitCode
	switch {
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, new(badConfig)):
		return 2
	}
	return 1
}

func printLine(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }
