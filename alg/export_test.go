package alg

import "time"

// BeginAt has the gateway begin at a time, where tests have a clock of their own.
func (g *Gateway) BeginAt(t time.Time) { g.began = beginning{t} }
