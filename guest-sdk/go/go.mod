module millstream.example/millstream

go 1.24
