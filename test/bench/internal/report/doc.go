// Package report makes a table and plots of samples that were taken round by round.
package report
