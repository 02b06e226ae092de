package key

// Max is the longest key, in bytes.
const Max = 1024

// A Key is 1 to Max bytes, any bytes.
type Key string
