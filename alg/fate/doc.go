// Package fate tells what came of each door: whether the expected data connection came, after how long, how
// many bytes went each way, how long it lasted and how it ended. The kernel's events tell it, so that no data
// packet is seen. While a data connection lives, the entry of its control connection is kept alive.
package fate
