"""Generated handwriting: letter skeletons, a writer's habits, pen and paper, put together to pages.

It stands in for real pages where none may be shipped. It is made to be worth learning from, and is
no evidence about how people write or how well their hands can be told apart.
"""
