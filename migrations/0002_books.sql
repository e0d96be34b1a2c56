-- The shop's first 11 books.
INSERT INTO books (id, title, topic, stock, price_cents) VALUES
    (1, 'The Great Adventure', 'fiction', 10, 1500),
    (2, 'Mystery of the Lost City', 'fiction', 8, 2000),
    (3, 'Introduction to Physics', 'science', 12, 2500),
    (4, 'Advanced Chemistry', 'science', 5, 3000),
    (5, 'World War Chronicles', 'history', 7, 1800),
    (6, 'Ancient Civilizations', 'history', 15, 2200),
    (7, 'JavaScript Mastery', 'programming', 20, 3500),
    (8, 'Node.js Complete Guide', 'programming', 10, 4000),
    (9, 'How to finish Project 3 on time', 'education', 15, 2800),
    (10, 'Why theory classes are so hard', 'education', 12, 3200),
    (11, 'Spring in the Pioneer Valley', 'nature', 18, 2400);
