// Package ring decides which nodes hold which keys, and when enough of them have answered.
//
// The hash space is cut into Q equal partitions, Q a power of two that never changes; the top bits of a key's hash are its
// partition. Which nodes hold a partition is no matter of arithmetic on node names but of a Table: for each partition its holders
// now (Current) and, while it moves, its holders soon (Next). This is the fixed-partition form of consistent hashing (DeCandia and
// others, 'Dynamo', SOSP 2007, section 6.2, strategy 3; the ring of OpenStack Swift): membership and placement are apart, a move
// is a whole partition, balance is exact, and who holds what can be read, checked and copied like any other value.
//
// Plan makes the table that a set of members should have. It is a pure function, so any node can check a plan that it did not make.
// A Set's Votes tell when an operation has its quorum, also in the middle of a move (Ongaro, 'Consensus: Bridging Theory and
// Practice', 2014, section 4.3, joint consensus).
//
// A Table is never changed once it is made; tables may share their parts.
package ring
