// Package key knows what a key is: 1 to 1024 arbitrary bytes, and the three forms that they take.
//
// In a URL it is the path without its first slash, percent-decoded once and otherwise taken as it is (FromPath). For the ring it is
// a 64-bit hash (Hash). On disk it is a file name that a person can read, and make by hand (FileName). Every form is exact: two keys
// never meet in one name, so neither a hostile key can reach another's file nor a strange one get lost.
package key
