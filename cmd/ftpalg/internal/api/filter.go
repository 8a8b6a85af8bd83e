package api

import "net/netip"

// Filter chooses sessions and events. What is zero chooses all.
type Filter struct {
	Client, Server netip.Prefix
	User           string // as it is shown
	Open           bool   // only with a port that is open or a data connection that is there
}

// Session tells whether s is chosen.
func (f *Filter) Session(s *Session) bool {
	return (!f.Client.IsValid() || f.Client.Contains(s.Client.Addr())) &&
		(!f.Server.IsValid() || f.Server.Contains(s.Server.Addr()) || f.Server.Contains(s.Dialled.Addr())) &&
		(f.User == "" || f.User == s.User) &&
		(!f.Open || s.Data != nil && (s.Data.State == "open" || s.Data.State == "flowing"))
}

// Event tells whether e is chosen. What concerns no session always is.
func (f *Filter) Event(e *Event) bool {
	return (!f.Client.IsValid() || e.Client == nil || f.Client.Contains(e.Client.Addr())) &&
		(!f.Server.IsValid() || e.Server == nil || f.Server.Contains(e.Server.Addr())) &&
		(f.User == "" || e.Client == nil || f.User == e.User) &&
		(!f.Open || e.Kind != "refused")
}
