// Address and time of access-log lines: `[2021-05-01 14:30:00] IP: 192.168.1.1, User: Alice, Action: Login`. The value is
// left as it is; what the address looks like is not judged.
package main

import (
	"bytes"

	millstream "millstream.example/millstream/guest-sdk/go"
	"millstream.example/millstream/guest-sdk/go/mapper"
)

var field = []byte("IP:")

// parse reads a line: the text after `IP:` up to the next comma, and the bracketed UTC time in milliseconds since 1970. The
// error says what is missing.
func parse(line []byte) (ip []byte, timestamp int64, err error) {
	const timeEnd = len("[YYYY-MM-DD hh:mm:ss")
	if len(line) <= timeEnd || line[0] != '[' || line[timeEnd] != ']' {
		return nil, 0, millstream.Reject("the line does not start with [YYYY-MM-DD hh:mm:ss]")
	}
	timestamp, ok := milliseconds(line[1:timeEnd])
	if !ok {
		return nil, 0, millstream.Reject("the bracketed time is not a UTC time YYYY-MM-DD hh:mm:ss")
	}
	if timestamp < 0 {
		return nil, 0, millstream.Reject("the bracketed time is before 1970")
	}
	_, ip, found := bytes.Cut(line[timeEnd:], field)
	if !found {
		return nil, 0, millstream.Reject("the line has no field IP")
	}
	ip, _, _ = bytes.Cut(ip, []byte(","))
	ip = bytes.Trim(ip, " \t\n\f\r")
	if len(ip) == 0 {
		return nil, 0, millstream.Reject("the field IP is empty")
	}
	return ip, timestamp, nil
}

// milliseconds reads `YYYY-MM-DD hh:mm:ss` in UTC; leap seconds are not taken.
func milliseconds(text []byte) (int64, bool) {
	if text[4] != '-' || text[7] != '-' || text[10] != ' ' || text[13] != ':' || text[16] != ':' {
		return 0, false
	}
	digits := true
	number := func(from, to int) (sum int64) {
		for _, digit := range text[from:to] {
			digits = digits && '0' <= digit && digit <= '9'
			sum = 10*sum + int64(digit-'0')
		}
		return sum
	}
	year, month, day := number(0, 4), number(5, 7), number(8, 10)
	hour, minute, second := number(11, 13), number(14, 16), number(17, 19)
	if !digits || month < 1 || month > 12 || day < 1 || day > days(year, month) || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	// Days since 1970 by the civil calendar, counted in years that begin in March.
	if month > 2 {
		month -= 3
	} else {
		year, month = year-1, month+9
	}
	since := year*365 + (month*153+2)/5 + day - 1 - 719_468
	since += floor(year, 4) - floor(year, 100) + floor(year, 400)
	return (since*86_400 + (hour*60+minute)*60 + second) * 1000, true
}

// floor divides the only negative year, -1 (January and February of year 0), downwards as well.
func floor(year, by int64) int64 {
	if year < 0 {
		return -1
	}
	return year / by
}

func days(year, month int64) int64 {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// extractIP: the key is the address, the time the bracketed one, the value as it is.
func extractIP(record millstream.Record, out *millstream.Output) error {
	ip, timestamp, err := parse(record.Value)
	if err != nil {
		return err
	}
	out.Emit(ip, record.Value, timestamp)
	return nil
}

func init() { mapper.Export(extractIP) }

func main() {}
