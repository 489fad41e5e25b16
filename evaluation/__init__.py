"""Looking at what came out: figures over pictures and losses, and the page that shows them.

mobilenet.py   features of pictures            groups.py   is the nearest real drawing of the caption's group?
text_use.py    do captions lower the loss?     colour.py   does a stage keep the colours it was given?
"""
